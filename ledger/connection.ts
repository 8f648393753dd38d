import { createHash } from 'node:crypto'
import { Socket } from 'node:net'
import pg from 'pg'
import type { Deadlines } from './deadlines.ts'
import { isReadOnly } from './outages.ts'

/** At the start of a statement that each connection prepares: see `prepared`. */
export const MARK = '/* prepared */'

/** TCP keep-alive: probes start after this idle time, and the connection is given up ten seconds later. */
const KEEP_ALIVE_MS = 10_000
/** How long the graceful end of a connection may take. */
const END_MS = 2_000

/** The database, or the network, has not answered in time. Whether the statement was executed is unknown. */
export class DatabaseSilent extends Error {
  readonly code = 'ETIMEDOUT'

  constructor(what: string, ms: number) {
    super(`the database did not answer ${what} within ${ms} ms`)
    this.name = 'DatabaseSilent'
  }
}

export type ConnectionOptions = {
  connectionString: string
  /** Shown in `pg_stat_activity`. */
  applicationName: string
  deadlines: Deadlines
}

const names = new Map<string, string>()

/**
 * A connection on which nothing lasts for ever. It tells the database its deadlines when it connects. If the database
 * does not keep them, because the network is silent, the socket is destroyed: waiting queries fail, and a pool makes
 * another connection. A transaction that is cut off like that is never continued.
 * All access to a database uses this class.
 */
export class LedgerClient extends pg.Client {
  readonly #socket: Socket
  readonly #deadlines: Deadlines
  #transactionTimer: NodeJS.Timeout | undefined

  constructor(config: pg.ClientConfig, deadlines: Deadlines) {
    const socket = new Socket()
    super({
      ...config,
      stream: () => socket,
      connectionTimeoutMillis: deadlines.connectMs,
      keepAlive: true,
      keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
    })
    this.#socket = socket
    this.#deadlines = deadlines
    // Waiting queries fail by themselves; an error without a listener would end the process.
    this.on('error', () => {})
    socket.once('close', () => clearTimeout(this.#transactionTimer))
  }

  /** Connects, and tells the database our deadlines. */
  override connect = ((callback?: (error: Error | null, client?: this) => void) => {
    const connect: () => Promise<unknown> = super.connect.bind(this)
    const connected = connect().then(() => this.#settle())
    if (callback === undefined) return connected
    connected.then(
      () => callback(null, this),
      (error) => callback(error),
    )
  }) as pg.Client['connect']

  /** Prepares statements that ask for it, and fails with `DatabaseSilent` when there is no answer in time. */
  override query = ((...args: unknown[]) => {
    const [text, values] = args
    const isPrepared = typeof text === 'string' && text.trimStart().startsWith(MARK)
    const query: (...args: unknown[]) => unknown = super.query.bind(this)
    this.#watchTransaction(text)
    const asked = isPrepared ? query({ name: nameOf(text), text, values }) : query(...args)
    return asked instanceof Promise ? this.#answered(asked) : asked
  }) as pg.Client['query']

  /** Ends the connection gracefully, or after a while by closing the socket. */
  override end = ((callback?: () => void) => {
    const end: (callback?: () => void) => unknown = super.end.bind(this)
    const timer = setTimeout(() => this.abandon(), END_MS).unref()
    this.#socket.once('close', () => clearTimeout(timer))
    return end(callback)
  }) as pg.Client['end']

  /** Closes the socket at once. A waiting query fails with `error`. */
  abandon(error?: Error): void {
    this.#socket.destroy(error)
  }

  /** Not by startup parameters: poolers refuse unknown ones. Settings that the server lacks are left out. */
  async #settle(): Promise<void> {
    const { statementMs, lockMs, idleInTransactionMs, transactionMs } = this.#deadlines
    const settings: [string, string | number][] = [
      ['default_transaction_isolation', 'read committed'],
      ['statement_timeout', statementMs],
      ['lock_timeout', lockMs],
      ['idle_in_transaction_session_timeout', idleInTransactionMs],
      // PostgreSQL 17.
      ['transaction_timeout', transactionMs],
      // The database notices a dead connection as well, and releases its locks.
      ['tcp_keepalives_idle', 10],
      ['tcp_keepalives_interval', 5],
      ['tcp_keepalives_count', 3],
    ]
    const [wanted, values] = [settings.map(([name]) => name), settings.map(([, value]) => String(value))]
    try {
      await this.query(
        `select set_config(name, value, false) from unnest($1::text[], $2::text[]) as wanted (name, value)
          where current_setting(name, true) is not null`,
        [wanted, values],
      )
    } catch (error) {
      this.abandon()
      throw error
    }
  }

  async #answered<Result>(asked: Promise<Result>): Promise<Result> {
    const ms = this.#deadlines.answerMs
    const timer = setTimeout(() => this.abandon(new DatabaseSilent('a statement', ms)), ms)
    try {
      return await asked
    } catch (error) {
      // After a failover the address leads to another server, but this connection stays with the old one.
      if (isReadOnly(error)) void this.end()
      throw error
    } finally {
      clearTimeout(timer)
    }
  }

  #watchTransaction(text: unknown): void {
    if (typeof text !== 'string') return
    if (/^(begin|start transaction)\b/.test(text)) {
      const ms = this.#deadlines.transactionMs
      this.#transactionTimer = setTimeout(() => this.abandon(new DatabaseSilent('a transaction', ms)), ms)
    } else if (text === 'commit' || text === 'rollback') {
      // The statement that ends it has a deadline of its own.
      clearTimeout(this.#transactionTimer)
    }
  }
}

function nameOf(text: string): string {
  const name = names.get(text) ?? createHash('sha256').update(text).digest('base64url')
  names.set(text, name)
  return name
}

/**
 * Opens one connection outside the pools. The caller ends it, and listens to its `error`. Fails when there is no answer
 * in time.
 */
export async function openConnection(options: ConnectionOptions): Promise<LedgerClient> {
  const { connectionString, applicationName, deadlines } = options
  const client = new LedgerClient({ connectionString, application_name: applicationName }, deadlines)
  await client.connect()
  return client
}
