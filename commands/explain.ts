import { ConfigError } from '../server/config.ts'
import { CopiedDataDirectory } from '../server/embedded/served-directory.ts'
import { DataDirectoryInUse } from '../server/embedded/server-lock.ts'
import { CommandFailure } from '../server/process/command-failure.ts'
import { Stopped } from '../server/process/signals.ts'
import { StorageChanged } from '../storage/places.ts'
import { isCode } from '../system/error-code.ts'
import { UsageError } from './command.ts'

/**
 * Prints what ended a command on standard error: one line for known errors, a stack for others. Returns the exit code.
 */
export function explain(error: unknown): number {
  if (error instanceof Stopped) return 0
  if (error instanceof ConfigError) return say(2, ...error.problems)
  if (error instanceof UsageError || error instanceof StorageChanged) return say(2, error.message)
  if (isOfArguments(error)) return say(2, error.message)
  if (error instanceof CommandFailure) return say(1, error.message)
  if (isOfListening(error)) return say(1, `${error.message}; choose another HOST or PORT`)
  const isKnown =
    error instanceof DataDirectoryInUse ||
    error instanceof CopiedDataDirectory ||
    (error instanceof Error && error.constructor === Error)
  say(1, isKnown ? error.message : String(error instanceof Error ? error.stack : error))
  if (isKnown && error.cause instanceof Error) process.stderr.write(`  because: ${error.cause.message}\n`)
  return 1
}

/** Prints lines, and returns the exit code. */
function say(code: number, ...lines: readonly string[]): number {
  for (const line of lines) process.stderr.write(`landfall: ${line}\n`)
  return code
}

/** Whether `parseArgs` refused an argument. */
const isOfArguments = (error: unknown): error is Error =>
  error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS')

/** Whether the server could not listen at its address: errors of files have some of these codes as well. */
const isOfListening = (error: unknown): error is Error =>
  error instanceof Error &&
  'syscall' in error &&
  (error.syscall === 'listen' || error.syscall === 'bind') &&
  isCode(error, 'EADDRINUSE', 'EACCES', 'EADDRNOTAVAIL')
