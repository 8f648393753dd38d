import { setTimeout as sleep } from 'node:timers/promises'
import { type LedgerClient, openConnection } from '../../ledger/connection.ts'
import { ORDINARY_DEADLINES } from '../../ledger/deadlines.ts'
import type { Log } from '../process/log.ts'

/** Another server uses the data directory. */
export class DataDirectoryInUse extends Error {
  constructor(directory: string) {
    super(`${directory} is in use by another Landfall server; stop it first or choose another DATA_DIR`)
    this.name = 'DataDirectoryInUse'
  }
}

/** The database takes a moment to notice that a server was killed. */
const TAKE_MS = 3_000
/** Time for a crashed database to recover. */
const RETAKE_MS = 30_000
const RETRY_MS = 150
/** Any number: the lock of the only server of this database. */
const LOCK = 7_263_491

/**
 * Makes this server the only one of its embedded database, by a session lock that ends with the process. A lost
 * connection is replaced and the lock taken again; `lost` settles when that fails.
 */
export class ServerLock {
  readonly #connectionString: string
  readonly #directory: string
  readonly #log: Log
  readonly #lost = Promise.withResolvers<Error>()
  #client: LedgerClient | undefined
  #isReleased = false

  private constructor(connectionString: string, directory: string, log: Log) {
    this.#connectionString = connectionString
    this.#directory = directory
    this.#log = log
  }

  /** Fails with `DataDirectoryInUse` when another server has it. */
  static async take(connectionString: string, directory: string, log: Log): Promise<ServerLock> {
    const lock = new ServerLock(connectionString, directory, log)
    await lock.#take(TAKE_MS)
    return lock
  }

  /** Resolves with the reason when the lock is lost for good. */
  get lost(): Promise<Error> {
    return this.#lost.promise
  }

  /** Whether this process is the only server now. */
  get isHeld(): boolean {
    return this.#client !== undefined
  }

  /** The session that holds the lock, for statements of the owner. */
  get session(): LedgerClient {
    if (!this.#client) throw new Error('the lock on the embedded database is not held')
    return this.#client
  }

  /** `last`: done before, while no other process has the lock; not at all where this one does not have it. */
  async release(last: () => Promise<void> = async () => {}): Promise<void> {
    this.#isReleased = true
    const client = this.#client
    this.#client = undefined
    if (!client) return
    try {
      await last()
    } finally {
      await client
        .end()
        .catch((error: unknown) => this.#log.debug({ err: error }, 'the lock was already released'))
    }
  }

  async #take(withinMs: number): Promise<void> {
    const deadline = performance.now() + withinMs
    let failure: unknown
    while (!this.#isReleased) {
      try {
        if (await this.#tryOnce()) return
        failure = new DataDirectoryInUse(this.#directory)
      } catch (error) {
        failure = error
      }
      if (performance.now() > deadline) throw failure
      await sleep(RETRY_MS)
    }
  }

  async #tryOnce(): Promise<boolean> {
    const client = await openConnection({
      connectionString: this.#connectionString,
      applicationName: 'landfall-server-lock',
      deadlines: ORDINARY_DEADLINES,
    })
    client.on('error', (error) => {
      // A connection without the lock fails in the query below, or no longer matters.
      if (this.#client === client)
        this.#log.warn({ err: error }, 'the embedded database closed the connection that holds the lock')
    })
    const { rows } = await client.query<{ held: boolean }>('select pg_try_advisory_lock($1) as held', [LOCK])
    if (!rows[0]?.held || this.#isReleased) {
      await client.end()
      return false
    }
    this.#client = client
    client.once('end', () => {
      if (!this.#isReleased) void this.#retake()
    })
    return true
  }

  async #retake(): Promise<void> {
    this.#client = undefined
    try {
      await this.#take(RETAKE_MS)
    } catch (error) {
      this.#lost.resolve(
        new Error('the embedded database has stopped or belongs to another server', { cause: error }),
      )
    }
  }
}
