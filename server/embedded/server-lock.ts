import { setTimeout as sleep } from 'node:timers/promises'
import { type LedgerClient, openConnection } from '../../ledger/connection.ts'
import { ORDINARY_DEADLINES } from '../../ledger/deadlines.ts'
import type { Log } from '../process/log.ts'

/** A second server was started on a data directory in use. */
export class DataDirectoryInUse extends Error {
  constructor(directory: string) {
    super(`${directory} is in use by another Landfall server; stop it first or choose another DATA_DIR`)
    this.name = 'DataDirectoryInUse'
  }
}

/** A killed server's connection takes a moment to be noticed by the database. */
const TAKE_MS = 3_000
/** A database that crashed recovers in this time, or is given up. */
const RETAKE_MS = 30_000
const RETRY_MS = 150
/** Any number: it means "this database has its server" to us only. */
const LOCK = 7_263_491

/**
 * Makes a server the only one of its embedded database, by a session lock: it ends with the process,
 * however that ends. Where only the connection ends, it is taken again; `lost` settles when it cannot be.
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

  async release(): Promise<void> {
    this.#isReleased = true
    await this.#client
      ?.end()
      .catch((error: unknown) => this.#log.debug({ err: error }, 'the lock was already released'))
    this.#client = undefined
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
      // One that does not hold the lock fails in the question below, or no longer matters.
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
