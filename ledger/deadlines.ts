/**
 * How long a call to the database may take, in milliseconds. The database ends what takes longer, and where it does not
 * answer at all, we end the connection: see `LedgerClient`.
 */
export type Deadlines = {
  /** Until a connection is made; in a pool also until one is free. */
  connectMs: number
  /** One statement. */
  statementMs: number
  /** The answer to one statement: longer than the statement may take. */
  answerMs: number
  /** Waiting for one lock. */
  lockMs: number
  /** Between two statements of a transaction. */
  idleInTransactionMs: number
  /** From `begin` to `commit`. Before PostgreSQL 17 only we look to it. */
  transactionMs: number
}

/** Of what requests and jobs do. */
export const ORDINARY_DEADLINES: Deadlines = {
  connectMs: 10_000,
  statementMs: 20_000,
  answerMs: 25_000,
  lockMs: 10_000,
  idleInTransactionMs: 10_000,
  transactionMs: 25_000,
}

/** Of migrations and the like, which may rebuild a large table. They must not write events: see `SETTLED_AFTER_MS`. */
export const MAINTENANCE_DEADLINES: Deadlines = {
  connectMs: 10_000,
  statementMs: 4 * 3_600_000,
  answerMs: 4 * 3_600_000 + 5_000,
  lockMs: 4 * 3_600_000,
  idleInTransactionMs: 60_000,
  transactionMs: 4 * 3_600_000,
}

/** Of what is asked again a moment later: whether the database is there, and for leases to be renewed. */
export const PROMPT_DEADLINES: Deadlines = {
  connectMs: 2_500,
  statementMs: 2_000,
  answerMs: 3_000,
  lockMs: 1_000,
  idleInTransactionMs: 2_000,
  transactionMs: 2_500,
}

/** Of notifications, which wait for those of others. */
export const BUS_DEADLINES: Deadlines = { ...PROMPT_DEADLINES, statementMs: 5_000, answerMs: 6_000 }
