import type { Entry } from './all.ts'
import type { Command } from './command.ts'

const EXIT_CODES =
  'Exit codes: 0 success, 1 failure or a problem was found, 2 invalid usage or configuration.'
const SETTINGS = 'Settings come from environment variables: see docs/configuration.md.'

/** The overview of all commands. */
export function overview(commands: readonly Entry[]): string {
  const width = Math.max(...commands.map(([name]) => name.length))
  return `landfall: a resumable upload server that finishes the job

Usage: landfall <command> [options]

Commands:
${commands.map(([name, summary]) => `  ${name.padEnd(width)}  ${summary}`).join('\n')}

Each has --help; each that prints something has --json, for programs. Commands work on the
database of DATABASE_URL or else on the one below DATA_DIR, whether its server runs or not.

${EXIT_CODES}
${SETTINGS}
`
}

/** What `--help` of one command says. */
export function helpOf([name, summary]: Entry, { usage, details, isLongRunning }: Command): string {
  const json = isLongRunning ? [] : ['  --json  print one JSON document instead of lines']
  const lines = [summary, '', `Usage: landfall ${name} ${usage}`.trimEnd(), '', ...details, ...json]
  return `${[...lines, '', EXIT_CODES, SETTINGS].join('\n')}\n`
}
