import type { LedgerTransaction } from './database.ts'
import type { MediaId, OwnerId } from './ids.ts'
import type { Turn } from './processing-turns.ts'

/** A media whose processing is due, and its bytes. */
export type DueMedia = {
  id: MediaId
  ownerId: OwnerId
  size: number
  /** In the line of its owner. */
  turn: Turn
  /** It has been processed before: it waits behind all new files, once at most. */
  again?: boolean
}

/** Puts work into the queue inside the transaction that makes it due. */
export type Enqueue<Subject> = (trx: LedgerTransaction, subject: Subject) => Promise<void>
