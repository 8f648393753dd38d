import type { Verdict } from './verdict.ts'

/** Sizes are in pixels, as shown. */
export type MediaLimits = {
  maxDurationSeconds: number
  /** Of a video: the longer side is held against the larger number, the shorter side against the smaller one. */
  minWidth: number
  minHeight: number
  maxWidth: number
  maxHeight: number
  /** Of an image: width times height. */
  maxImagePixels: number
}

/** Why a duration in seconds is rejected. */
export function judgeDuration(seconds: number | null | undefined, limits: MediaLimits): Verdict | undefined {
  if (seconds === undefined || seconds === null || seconds <= limits.maxDurationSeconds) return undefined
  return {
    code: 'too-long',
    detail: `The file lasts ${seconds.toFixed(1)} s; the maximum is ${limits.maxDurationSeconds} s.`,
  }
}

type Size = { width?: number | null | undefined; height?: number | null | undefined }

/**
 * Why a video is rejected by its size as shown, or as stored where that is larger: it has to be decoded. Portrait counts
 * like landscape.
 */
export function judgeDimensions(shown: Size, limits: MediaLimits, stored: Size = shown): Verdict | undefined {
  const { maxWidth, maxHeight, minWidth, minHeight } = limits
  for (const size of [shown, stored]) {
    const most = turnedAs(size, maxWidth, maxHeight)
    if ((size.width ?? 0) > most.width || (size.height ?? 0) > most.height)
      return { code: 'dimensions-too-large', detail: `${isSized(size)}; the maximum is ${inPixels(most)}.` }
  }
  const { width, height } = shown
  const least = turnedAs(shown, minWidth, minHeight)
  if (!width || !height || (width >= least.width && height >= least.height)) return undefined
  return { code: 'dimensions-too-small', detail: `${isSized(shown)}; the minimum is ${inPixels(least)}.` }
}

/** Why an image of this size is rejected. */
export function judgeImageSize(size: Size, { maxImagePixels }: MediaLimits): Verdict | undefined {
  if ((size.width ?? 0) * (size.height ?? 0) <= maxImagePixels) return undefined
  return {
    code: 'dimensions-too-large',
    detail: `${isSized(size)}; the maximum is ${maxImagePixels / 1e6} megapixels.`,
  }
}

const inPixels = ({ width, height }: Size) => `${width}×${height}`
const isSized = (size: Size) => `The picture is ${inPixels(size)} pixels`

/** A limit in the orientation of a picture. */
function turnedAs({ width, height }: Size, a: number, b: number) {
  const [longer, shorter] = [Math.max(a, b), Math.min(a, b)]
  const isPortrait = (height ?? 0) > (width ?? 0)
  return isPortrait ? { width: shorter, height: longer } : { width: longer, height: shorter }
}
