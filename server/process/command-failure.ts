import { databaseOutage } from '../../ledger/outages.ts'
import { messageOf } from './message-of.ts'

/** A failure from outside that its message explains completely: one line, exit code 1. */
export class CommandFailure extends Error {
  override readonly name = 'CommandFailure'
}

/**
 * Turns failures of files or the database (a full disk, missing permissions, a lost connection) into a `CommandFailure`
 * of one line. Other errors are returned unchanged.
 */
export function failureOf(error: unknown, what: string): unknown {
  if (!(error instanceof Error) || error instanceof CommandFailure) return error
  const isOfSystem = 'errno' in error && 'syscall' in error
  if (!isOfSystem && databaseOutage(error) === undefined) return error
  return new CommandFailure(`${what}: ${messageOf(error)}`, { cause: error })
}
