import type { UploadPlan } from './plan.ts'

/** What a plan does, as a report calls it. */
export function planInWords({ uploads, size, requestSize, parallel, bytesPerSecond }: UploadPlan): string {
  if (uploads === 1) {
    const how = requestSize >= size ? 'in one PATCH' : `in chunks of ${bytesInWords(requestSize)}`
    return `${bytesInWords(size)} ${how}`
  }
  const files = `${uploads} files of ${bytesInWords(size)}`
  const atOnce = parallel === uploads ? 'at once' : `${parallel} at once`
  return `${files}, ${atOnce}${bytesPerSecond === null ? '' : `, ${bytesInWords(bytesPerSecond)}/s each`}`
}

/** In the units that leave no fraction, binary ones where they do. */
function bytesInWords(bytes: number): string {
  const units = [
    ['GiB', 1024 ** 3],
    ['MiB', 1024 ** 2],
    ['GB', 1e9],
    ['MB', 1e6],
    ['KB', 1e3],
  ] as const
  const [unit, factor] = units.find(([, factor]) => bytes % factor === 0) ?? ['bytes', 1]
  return `${bytes / factor} ${unit}`
}
