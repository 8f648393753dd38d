import { error, type Finding, warning } from './finding.ts'

/** Less is in the nature of clocks, and of the way an answer takes. */
const NOTICED_MS = 5_000

/**
 * What a clock that is off does, where it is: nothing for less than five seconds. `differenceMs` is how far the other
 * clock is ahead of ours, and `limitMs` what it breaks from.
 */
export function clockFindings(
  whose: string,
  differenceMs: number,
  limitMs: number,
  harm: string,
): readonly Finding[] {
  const seconds = Math.round(Math.abs(differenceMs) / 1000)
  if (Math.abs(differenceMs) < NOTICED_MS) return []
  const text = `clock: that of ${whose} is ${seconds} s ${differenceMs > 0 ? 'ahead of' : 'behind'} this machine's`
  return Math.abs(differenceMs) < limitMs
    ? [warning(`${text}; set both by NTP`)]
    : [error(`${text}; ${harm}: set both by NTP`)]
}
