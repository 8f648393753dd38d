import pg from 'pg'

/** Why the database does not do what it was asked, though nothing is wrong with that. */
export type DatabaseOutage = {
  /** For operators: what is wrong with it. */
  what: string
  /** Seconds after which it is worth asking again. */
  retryAfterSeconds: number
}

const NO_ANSWER: DatabaseOutage = { what: 'it does not answer', retryAfterSeconds: 5 }
const BUSY: DatabaseOutage = { what: 'it is too busy', retryAfterSeconds: 2 }
const READ_ONLY: DatabaseOutage = { what: 'it is read-only, such as a replica', retryAfterSeconds: 5 }
const REFUSED: DatabaseOutage = { what: 'it refuses our credentials or rights', retryAfterSeconds: 30 }

/**
 * By SQLSTATE, or the class that it begins with: the first that fits. What is missing here is a mistake of ours, and
 * stays an internal error. See "PostgreSQL Error Codes" in its manual.
 */
const BY_STATE: readonly (readonly [string, DatabaseOutage])[] = [
  ['08', NO_ANSWER],
  // A transaction that the database ended because it took too long: `idle_in_transaction_session_timeout`, `transaction_timeout`.
  ['25P03', BUSY],
  ['25P04', BUSY],
  // `in_failed_sql_transaction` follows an error that was reported before it.
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

/** Codes of Node for a network that does not lead anywhere, and for a process that has no file descriptors left. */
const NETWORK =
  /^(ECONN(REFUSED|RESET|ABORTED)|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|E(HOST|NET)(UNREACH|DOWN)|EADDRNOTAVAIL|ENOENT|EMFILE|ENFILE)$/

/** What pg, its pool and Kysely say without a code of connections that are not there, or no more. */
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

/** The outage that an error of the database or of its driver speaks of; undefined for any other error. */
export function databaseOutage(error: unknown): DatabaseOutage | undefined {
  if (!(error instanceof Error)) return undefined
  const code = 'code' in error ? String(error.code) : ''
  if (error instanceof pg.DatabaseError) return BY_STATE.find(([state]) => code.startsWith(state))?.[1]
  if (isNetworkError(error) || SAID.some((text) => error.message.startsWith(text))) return NO_ANSWER
  return undefined
}

/** Whether an error is one of the network, whatever the peer. */
export function isNetworkError(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const code = 'code' in error ? String(error.code) : ''
  if (code === 'ENOENT') return 'syscall' in error && error.syscall === 'connect'
  return NETWORK.test(code) || /^(ERR_TLS|ERR_SSL|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_)/.test(code)
}

/** Whether the database does not take writes: a replica, or one that failed over, was reached. */
export function isReadOnly(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code === '25006'
}
