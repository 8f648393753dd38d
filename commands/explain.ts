import { ConfigError } from '../server/config.ts'
import { CopiedDataDirectory } from '../server/embedded/served-directory.ts'
import { DataDirectoryInUse } from '../server/embedded/server-lock.ts'
import { CommandFailure } from '../server/process/command-failure.ts'
import { Stopped } from '../server/process/signals.ts'
import { StorageChanged } from '../storage/places.ts'
import { UsageError } from './command.ts'

/**
 * Prints what ended a command on standard error: one line for known errors, a stack for others. Returns the exit code.
 */
export function explain(error: unknown): number {
  if (error instanceof Stopped) return 0
  if (error instanceof ConfigError) {
    for (const problem of error.problems) process.stderr.write(`landfall: ${problem}\n`)
    return 2
  }
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  if (error instanceof UsageError || code.startsWith('ERR_PARSE_ARGS')) {
    process.stderr.write(`landfall: ${(error as Error).message}\n`)
    return 2
  }
  if (error instanceof StorageChanged) {
    process.stderr.write(`landfall: ${error.message}\n`)
    return 2
  }
  if (error instanceof CommandFailure) {
    process.stderr.write(`landfall: ${error.message}\n`)
    return 1
  }
  if (isOfListening(error)) {
    process.stderr.write(`landfall: ${error.message}; choose another HOST or PORT\n`)
    return 1
  }
  const isKnown =
    error instanceof DataDirectoryInUse ||
    error instanceof CopiedDataDirectory ||
    (error instanceof Error && error.constructor === Error)
  process.stderr.write(
    `landfall: ${isKnown ? error.message : error instanceof Error ? error.stack : error}\n`,
  )
  if (isKnown && error.cause instanceof Error) process.stderr.write(`  because: ${error.cause.message}\n`)
  return 1
}

/** Whether the server could not listen at its address: errors of files have some of these codes as well. */
const isOfListening = (error: unknown): error is Error =>
  error instanceof Error &&
  'syscall' in error &&
  (error.syscall === 'listen' || error.syscall === 'bind') &&
  'code' in error &&
  ['EADDRINUSE', 'EACCES', 'EADDRNOTAVAIL'].includes(String(error.code))
