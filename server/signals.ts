import type { Log } from './log.ts'

/** npm passes Ctrl-C on although the terminal has sent it already; a person takes longer to insist. */
const SAME_SIGNAL_MS = 1_000

/**
 * Resolves on SIGINT, SIGTERM or SIGHUP, or when a parent process that talks to this one is gone.
 * Asked once more, the process ends without waiting for anything.
 */
export async function untilStopped(log: Log): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  let askedAt: number | undefined
  const stop = (why: string) => {
    if (askedAt === undefined) {
      askedAt = performance.now()
      log.info({ why }, 'stopping')
      resolve()
    } else if (why !== 'disconnect' && performance.now() - askedAt > SAME_SIGNAL_MS) {
      process.exit(130)
    }
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop(signal))
  process.once('disconnect', () => stop('disconnect'))
  // It may have gone while this process was starting, and nobody says so twice.
  if (process.send && !process.connected) stop('disconnect')
  await promise
}
