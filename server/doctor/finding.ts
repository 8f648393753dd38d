import { inTime } from '../../system/in-time.ts'

/** One result of `doctor`, as a line. An `error` keeps Landfall from working. */
export type Finding = { level: 'ok' | 'warning' | 'error'; text: string }

export const ok = (text: string): Finding => ({ level: 'ok', text })
export const warning = (text: string): Finding => ({ level: 'warning', text })
export const error = (text: string): Finding => ({ level: 'error', text })

/** Time limit of a check: what it asks may never answer. */
const CHECK_MS = 20_000

/** The findings of a check. A failure, or more than twenty seconds, is an error about `what`; other checks go on. */
export async function found(
  what: string,
  check: () => Promise<readonly Finding[]>,
  limitMs = CHECK_MS,
): Promise<readonly Finding[]> {
  try {
    return await inTime(check(), limitMs, () => {
      throw new Error(`no answer within ${limitMs / 1000} s`)
    })
  } catch (failure) {
    return [error(`${what}: ${failure instanceof Error ? failure.message : failure}`)]
  }
}
