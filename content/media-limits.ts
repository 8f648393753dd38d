import type { Verdict } from './verdict.ts'

export type MediaLimits = {
  maxDurationSeconds: number
  minWidth: number
  minHeight: number
  maxWidth: number
  maxHeight: number
}

/** Why a duration in seconds is rejected. */
export function judgeDuration(seconds: number | null | undefined, limits: MediaLimits): Verdict | undefined {
  if (seconds === undefined || seconds === null || seconds <= limits.maxDurationSeconds) return undefined
  return {
    code: 'too-long',
    detail: `The file lasts ${seconds.toFixed(1)} s; the maximum is ${limits.maxDurationSeconds} s.`,
  }
}

/** Why a picture of this size is rejected. */
export function judgeDimensions(
  width: number | null | undefined,
  height: number | null | undefined,
  limits: MediaLimits,
): Verdict | undefined {
  if (!width || !height) return undefined
  const is = `The picture is ${width}×${height} pixels`
  if (width > limits.maxWidth || height > limits.maxHeight) {
    return {
      code: 'dimensions-too-large',
      detail: `${is}; the maximum is ${limits.maxWidth}×${limits.maxHeight}.`,
    }
  }
  if (width < limits.minWidth || height < limits.minHeight) {
    return {
      code: 'dimensions-too-small',
      detail: `${is}; the minimum is ${limits.minWidth}×${limits.minHeight}.`,
    }
  }
  return undefined
}
