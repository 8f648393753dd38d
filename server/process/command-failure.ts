import { databaseOutage } from '../../ledger/outages.ts'
import { messageOf } from './message-of.ts'

/** Something outside keeps a command from its work, and the message says all there is to say: one line, exit code 1. */
export class CommandFailure extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'CommandFailure'
  }
}

/**
 * What a command says where files or the database let it down (a full disk, a folder that may not be written, a lost
 * connection): `CommandFailure` in one line. Every other error is given back as it is.
 */
export function failureOf(error: unknown, what: string): unknown {
  if (!(error instanceof Error) || error instanceof CommandFailure) return error
  const isOfSystem = 'errno' in error && 'syscall' in error
  if (!isOfSystem && databaseOutage(error) === undefined) return error
  return new CommandFailure(`${what}: ${messageOf(error)}`, { cause: error })
}
