import { openDatabase } from '../ledger/database.ts'
import { PROMPT_DEADLINES } from '../ledger/deadlines.ts'
import { pingDatabase } from '../ledger/ping.ts'

const LOOK_MS = 5_000
const MAX_OUTAGE_MS = 60_000
/** Fewer failures in a minute mean that this process was frozen, and not that the database was unavailable. */
const FEWEST_FAILURES = 3

export type DatabaseWatch = {
  /** Resolves with the reason when the database was unavailable for too long. */
  lost: Promise<Error>
  close(): Promise<void>
}

/**
 * Checks every five seconds, on a connection of its own, that the database answers and takes writes. After a minute
 * without it the worker should be restarted by its supervisor, which then notices as well.
 */
export function watchDatabase(options: {
  connectionString: string
  maxOutageMs?: number
  lookMs?: number
}): DatabaseWatch {
  const { connectionString, maxOutageMs = MAX_OUTAGE_MS, lookMs = LOOK_MS } = options
  const { promise: lost, resolve } = Promise.withResolvers<Error>()
  const db = openDatabase({
    connectionString,
    maxConnections: 1,
    applicationName: 'landfall-watch',
    // The next check finds the same.
    onPoolError: () => {},
    deadlines: PROMPT_DEADLINES,
  })
  let seenAt = performance.now()
  let failures = 0
  let timer: NodeJS.Timeout | undefined
  let isClosed = false

  async function look(): Promise<void> {
    try {
      await pingDatabase(db)
      seenAt = performance.now()
      failures = 0
    } catch (error) {
      failures += 1
      const awayMs = performance.now() - seenAt
      if (awayMs >= maxOutageMs && failures >= FEWEST_FAILURES) {
        const seconds = Math.round(awayMs / 1000)
        const why = error instanceof Error ? error.message : String(error)
        resolve(
          new Error(`the worker exits because the database has been unavailable for ${seconds} s (${why})`),
        )
        return
      }
    }
    if (!isClosed) timer = setTimeout(look, lookMs)
  }
  timer = setTimeout(look, lookMs)

  return {
    lost,
    async close() {
      isClosed = true
      clearTimeout(timer)
      await db.destroy()
    },
  }
}
