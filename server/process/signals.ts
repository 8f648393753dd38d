import type { Log } from './log.ts'

/** npm repeats the Ctrl-C of a terminal at once; a person takes longer. */
const SAME_SIGNAL_MS = 1_000

/** The process was asked to stop while it was still starting. */
export class Stopped extends Error {
  constructor() {
    super('stopped while starting')
    this.name = 'Stopped'
  }
}

export type StopRequest = {
  /** Resolves when the process is asked to stop. */
  asked: Promise<void>
  /** Throws `Stopped` when it has been asked already: called between the stages of a start. */
  check(): void
}

/**
 * Listens from now on for SIGINT, SIGTERM and SIGHUP, and for the end of the parent process. A second request ends the
 * process at once.
 */
export function listenForStop(log: Log): StopRequest {
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
  // The parent may have ended while this process was loading.
  if (process.send && !process.connected) stop('disconnect')
  return {
    asked: promise,
    check() {
      if (askedAt !== undefined) throw new Stopped()
    },
  }
}
