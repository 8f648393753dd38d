import { error, type Finding, warning } from './finding.ts'

/** Less is normal for clocks and round trips. */
const NOTICED_MS = 5_000

/**
 * The effects of a wrong clock, if any: none below five seconds. `differenceMs`: how far the other clock is ahead of
 * ours; `limitMs`: from where it breaks something.
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
