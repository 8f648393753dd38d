import { parseArgs } from 'node:util'
import { StorageChanged } from '../storage/places.ts'
import { COMMANDS } from './commands/all.ts'
import { CommandFailure, type Outcome, UsageError } from './commands/command.ts'
import { helpOf, overview } from './commands/help.ts'
import { ConfigError } from './config.ts'
import { CopiedDataDirectory } from './embedded/served-directory.ts'
import { DataDirectoryInUse } from './embedded/server-lock.ts'
import { Stopped } from './signals.ts'

// Whatever this process and its children make is for its owner alone: objects, renditions, backups, logs, sockets.
process.umask(0o077)

/** Exit codes: 0 done, 1 failed or something is wrong, 2 called or configured wrongly. */
async function main([name, ...args]: readonly string[]): Promise<number> {
  if (name === undefined || name === 'help' || name === '--help' || name === '-h') {
    process.stdout.write(overview(COMMANDS))
    return name === undefined ? 2 : 0
  }
  const command = COMMANDS.find((one) => one.name === name)
  if (!command) throw new UsageError(`there is no command "${name}"; see landfall --help`)
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(helpOf(command))
    return 0
  }
  const { values, positionals } = parseArgs({
    args,
    options: { ...command.options, ...(command.isLongRunning ? {} : { json: { type: 'boolean' } }) },
    allowPositionals: command.takesPositionals === true,
  })
  const outcome = await command.run({ env: process.env, values, positionals })
  if (outcome) print(outcome, 'json' in values && values.json === true)
  return outcome?.code ?? 0
}

function print({ lines, json }: Outcome, asJson: boolean): void {
  process.stdout.write(asJson ? `${JSON.stringify(json)}\n` : lines.map((line) => `${line}\n`).join(''))
}

// The reader of the lines has closed the pipe, as `head` does.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
})
try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  process.exitCode = explain(error)
}
// A listener for the parent's end keeps the channel, and so the process, open.
if (process.connected) process.disconnect()
// What still runs here (a socket that did not close) must not keep the process.
setTimeout(() => process.exit(), 2_000).unref()

/** Says in one line each what went wrong where that is known; a stack only where it is not. */
function explain(error: unknown): number {
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
  if (code === 'EADDRINUSE' || code === 'EACCES' || code === 'EADDRNOTAVAIL') {
    process.stderr.write(`landfall: ${(error as Error).message}; choose another HOST or PORT\n`)
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
