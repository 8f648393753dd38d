import pg from 'pg'

/** Why the database cannot do what it was asked, though the request is fine. */
export type DatabaseOutage = {
  /** For operators. */
  what: string
  /** Seconds after which to try again. */
  retryAfterSeconds: number
}

const NO_ANSWER: DatabaseOutage = { what: 'it does not answer', retryAfterSeconds: 5 }
const BUSY: DatabaseOutage = { what: 'it is too busy', retryAfterSeconds: 2 }
const READ_ONLY: DatabaseOutage = { what: 'it is read-only, such as a replica', retryAfterSeconds: 5 }
const REFUSED: DatabaseOutage = { what: 'it refuses our credentials or rights', retryAfterSeconds: 30 }

/**
 * By SQLSTATE or its class: the first match counts. Other codes are mistakes of ours, and internal errors. See
 * "PostgreSQL Error Codes" in its manual.
 */
const BY_STATE: readonly (readonly [string, DatabaseOutage])[] = [
  ['08', NO_ANSWER],
  // Timeouts of transactions: `idle_in_transaction_session_timeout`, `transaction_timeout`.
  ['25P03', BUSY],
  ['25P04', BUSY],
  // `in_failed_sql_transaction` follows an error that was reported before.
  ['25P02', BUSY],
  ['25006', READ_ONLY],
  ['28', REFUSED],
  ['3D000', { what: 'there is no such database', retryAfterSeconds: 30 }],
  ['40001', { ...BUSY, retryAfterSeconds: 1 }],
  ['40P01', { ...BUSY, retryAfterSeconds: 1 }],
  ['40003', NO_ANSWER],
  ['42501', REFUSED],
  ['53100', { what: 'its disk is full', retryAfterSeconds: 30 }],
  ['53', { what: 'it lacks connections, memory or room', retryAfterSeconds: 5 }],
  ['55P03', BUSY],
  // `statement_timeout`, or an administrator.
  ['57014', BUSY],
  ['57', NO_ANSWER],
  ['58', { what: 'its system fails', retryAfterSeconds: 10 }],
  ['XX001', { what: 'its data are damaged', retryAfterSeconds: 30 }],
  ['XX002', { what: 'its data are damaged', retryAfterSeconds: 30 }],
]

/** Node's codes for network failures, and for a process without file descriptors. */
const NETWORK =
  /^(ECONN(REFUSED|RESET|ABORTED)|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|E(HOST|NET)(UNREACH|DOWN)|EADDRNOTAVAIL|ENOENT|EMFILE|ENFILE)$/

/** Messages of pg, its pool and Kysely about lost connections, which have no code. */
const SAID = [
  'Connection terminated',
  'timeout expired',
  'timeout exceeded when trying to connect',
  'Query read timeout',
  'Client has encountered a connection error and is not queryable',
  'Client was closed and is not queryable',
  'Cannot use a pool after calling end on the pool',
  'driver has already been destroyed',
  'Postgres connection has been discarded',
  'The server does not support SSL connections',
  'There was an error establishing an SSL connection',
]

/** The outage behind an error of the database or its driver; undefined for any other error. */
export function databaseOutage(error: unknown): DatabaseOutage | undefined {
  if (!(error instanceof Error)) return undefined
  const code = 'code' in error ? String(error.code) : ''
  if (error instanceof pg.DatabaseError) return BY_STATE.find(([state]) => code.startsWith(state))?.[1]
  if (isNetworkError(error) || SAID.some((text) => error.message.startsWith(text))) return NO_ANSWER
  return undefined
}

/** Whether an error is a network error, of any peer. */
export function isNetworkError(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const code = 'code' in error ? String(error.code) : ''
  if (code === 'ENOENT') return 'syscall' in error && error.syscall === 'connect'
  return NETWORK.test(code) || /^(ERR_TLS|ERR_SSL|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_)/.test(code)
}

/** Whether the database is read-only: a replica, or one after a failover. */
export function isReadOnly(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code === '25006'
}
