import type { Verdict } from './verdict.ts'

export type MediaLimits = {
  maxDurationSeconds: number
  minWidth: number
  minHeight: number
  maxWidth: number
  maxHeight: number
}

/** Why a duration in seconds is refused. */
export function judgeDuration(seconds: number | null | undefined, limits: MediaLimits): Verdict | undefined {
  if (seconds === undefined || seconds === null || seconds <= limits.maxDurationSeconds) return undefined
  return {
    code: 'too-long',
    detail: `It lasts ${seconds.toFixed(1)} s; at most ${limits.maxDurationSeconds} s are accepted.`,
  }
}

/** Why a picture of so many pixels is refused. */
export function judgeDimensions(
  width: number | null | undefined,
  height: number | null | undefined,
  limits: MediaLimits,
): Verdict | undefined {
  if (!width || !height) return undefined
  const is = `It is ${width}×${height}`
  if (width > limits.maxWidth || height > limits.maxHeight) {
    return {
      code: 'dimensions-too-large',
      detail: `${is}; at most ${limits.maxWidth}×${limits.maxHeight} is accepted.`,
    }
  }
  if (width < limits.minWidth || height < limits.minHeight) {
    return {
      code: 'dimensions-too-small',
      detail: `${is}; at least ${limits.minWidth}×${limits.minHeight} is accepted.`,
    }
  }
  return undefined
}
