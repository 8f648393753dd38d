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
  const text = `clock: the clock of ${whose} is ${seconds} s ${differenceMs > 0 ? 'ahead of' : 'behind'} this machine's`
  return Math.abs(differenceMs) < limitMs
    ? [warning(`${text}; synchronise both with NTP`)]
    : [error(`${text}; ${harm}: synchronise both with NTP`)]
}
