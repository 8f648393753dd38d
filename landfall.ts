import { parseArgs } from 'node:util'
import { COMMANDS } from './commands/all.ts'
import { type Outcome, UsageError } from './commands/command.ts'
import { helpOf, overview } from './commands/help.ts'

// Only the owner may read what this process and its children create: objects, renditions, backups, logs, sockets.
process.umask(0o077)

/** Exit codes: 0 success, 1 failure or a problem was found, 2 invalid usage or configuration. */
async function main([name, ...args]: readonly string[]): Promise<number> {
  if (name === undefined || name === 'help' || name === '--help' || name === '-h') {
    process.stdout.write(overview(COMMANDS))
    return name === undefined ? 2 : 0
  }
  const entry = COMMANDS.find(([known]) => known === name)
  if (!entry) throw new UsageError(`there is no command "${name}"; see landfall --help`)
  const [, , load] = entry
  const { command } = await load()
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(helpOf(entry, command))
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

// The reader of the output has closed the pipe, as `head` does.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
})
try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  // Loaded on demand, as it imports errors of many rooms.
  const { explain } = await import('./commands/explain.ts')
  process.exitCode = explain(error)
}
// A listener for the parent's end keeps the channel, and so the process, open.
if (process.connected) process.disconnect()
// A socket that does not close must not keep the process.
setTimeout(() => process.exit(), 2_000).unref()
