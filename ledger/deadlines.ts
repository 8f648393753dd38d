/**
 * How long a call to the database may take, in milliseconds. The database ends what takes longer; where it does not
 * answer at all, we close the connection: see `LedgerClient`.
 */
export type Deadlines = {
  /** Until a connection is made, or in a pool is free. */
  connectMs: number
  /** One statement. */
  statementMs: number
  /** The answer to one statement: longer than the statement may take. */
  answerMs: number
  /** Waiting for one lock. */
  lockMs: number
  /** Between two statements of a transaction. */
  idleInTransactionMs: number
  /** From `begin` to `commit`. Before PostgreSQL 17 only the client enforces it. */
  transactionMs: number
}

/** For requests and jobs. */
export const ORDINARY_DEADLINES: Deadlines = {
  connectMs: 10_000,
  statementMs: 20_000,
  answerMs: 25_000,
  lockMs: 10_000,
  idleInTransactionMs: 10_000,
  transactionMs: 25_000,
}

/** For migrations and the like, which may rebuild a large table. They must not write events: see `SETTLED_AFTER_MS`. */
export const MAINTENANCE_DEADLINES: Deadlines = {
  connectMs: 10_000,
  statementMs: 4 * 3_600_000,
  answerMs: 4 * 3_600_000 + 5_000,
  lockMs: 4 * 3_600_000,
  idleInTransactionMs: 60_000,
  transactionMs: 4 * 3_600_000,
}

/** For what is soon tried again: health checks and lease renewals. */
export const PROMPT_DEADLINES: Deadlines = {
  connectMs: 2_500,
  statementMs: 2_000,
  answerMs: 3_000,
  lockMs: 1_000,
  idleInTransactionMs: 2_000,
  transactionMs: 2_500,
}

/** For notifications, which wait for those of others. */
export const BUS_DEADLINES: Deadlines = { ...PROMPT_DEADLINES, statementMs: 5_000, answerMs: 6_000 }
