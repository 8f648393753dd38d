import type { Log } from './log.ts'

/** Resolves on SIGINT, SIGTERM or SIGHUP, or when a parent process that talks to this one is gone. A second signal ends at once. */
export async function untilStopped(log: Log): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  let asked = 0
  const stop = (why: string) => {
    asked += 1
    if (asked > 1 && why !== 'disconnect') process.exit(130)
    log.info({ why }, 'stopping')
    resolve()
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop(signal))
  if (process.connected) process.once('disconnect', () => stop('disconnect'))
  await promise
}
