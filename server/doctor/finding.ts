/** What `doctor` found out about one thing, in a line. An `error` keeps Landfall from its work. */
export type Finding = { level: 'ok' | 'warning' | 'error'; text: string }

export const ok = (text: string): Finding => ({ level: 'ok', text })
export const warning = (text: string): Finding => ({ level: 'warning', text })
export const error = (text: string): Finding => ({ level: 'error', text })

/** How long one check may take: whatever it asks may be silent for ever. */
const CHECK_MS = 20_000

/**
 * The findings of a check. One that fails, or takes longer than twenty seconds, is an error about `what`: the others
 * are told all the same.
 */
export async function found(
  what: string,
  check: () => Promise<readonly Finding[]>,
  limitMs = CHECK_MS,
): Promise<readonly Finding[]> {
  const { promise, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new Error(`no answer within ${limitMs / 1000} s`)), limitMs)
  try {
    return await Promise.race([check(), promise])
  } catch (failure) {
    return [error(`${what}: ${failure instanceof Error ? failure.message : failure}`)]
  } finally {
    clearTimeout(timer)
  }
}
