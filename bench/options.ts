import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { CASES, STORAGES, type StorageKind } from './cases.ts'

export const HELP = `npm run bench -- [options]: measures Landfall beside the stock tus server

  --only NAME,…      these cases: ${CASES.map(({ name }) => name).join(', ')}
  --storage KIND     disk or s3; both without it
  --rounds N         runs of every case that count, besides the first
  --quick            small uploads and two rounds, to see that it works
  --long             also Landfall alone with a few uploads of 5 GB
  --set NAME=VALUE   a setting of Landfall, such as DISK_SYNC=never; any number of these
  --before DIR       beside another checkout of Landfall, with its packages installed, in place of the stock server
  --directory DIR    where files are written; the system's directory for such without it
  --help

A run of everything writes docs/benchmarks.md, .json and .svg; any other prints only.
`

/** What the bench was told to do. */
export type BenchOptions = {
  cases: readonly string[]
  storages: readonly StorageKind[]
  /** Null: as many as the case wants. */
  rounds: number | null
  isQuick: boolean
  directory: string | null
  /** Another checkout of Landfall to compare with; null for the stock server. */
  before: string | null
  /** Settings of Landfall besides those that the bench needs. */
  settings: Record<string, string>
  /** Nothing is left out that a report needs. */
  isComplete: boolean
}

/** The bench was called wrongly. */
export class UsageError extends Error {}

/** Reads the arguments; undefined when help is asked for. Fails with `UsageError`. */
export function parseOptions(args: readonly string[]): BenchOptions | undefined {
  const { help, only, storage, rounds, quick, long, directory, before, set = [] } = valuesOf(args)
  if (help) return undefined
  const known = CASES.map(({ name }) => name)
  const cases = only?.split(',') ?? CASES.filter(({ isLong }) => long || !isLong).map(({ name }) => name)
  for (const name of cases) {
    if (!known.includes(name))
      throw new UsageError(`there is no case "${name}"; there are ${known.join(', ')}`)
  }
  const storages = storage === undefined ? STORAGES : STORAGES.filter((kind) => kind === storage)
  if (storages.length === 0)
    throw new UsageError(`--storage takes ${STORAGES.join(' or ')}, not "${storage}"`)
  if (rounds !== undefined && !/^[1-9]\d?$/.test(rounds)) {
    throw new UsageError(`--rounds takes a number from 1 to 99, not "${rounds}"`)
  }
  return {
    cases,
    storages,
    rounds: rounds === undefined ? null : Number(rounds),
    isQuick: quick === true,
    directory: directory ?? null,
    before: before === undefined ? null : resolve(before),
    settings: settingsOf(set),
    isComplete:
      !quick && only === undefined && storage === undefined && before === undefined && set.length === 0,
  }
}

function settingsOf(pairs: readonly string[]): Record<string, string> {
  const settings = pairs.map((pair) => {
    const [, name, value] = /^([A-Z0-9_]+)=(.*)$/.exec(pair) ?? []
    if (name === undefined || value === undefined)
      throw new UsageError(`--set takes NAME=VALUE, not "${pair}"`)
    return [name, value] as const
  })
  return Object.fromEntries(settings)
}

function valuesOf(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        only: { type: 'string' },
        storage: { type: 'string' },
        rounds: { type: 'string' },
        quick: { type: 'boolean' },
        long: { type: 'boolean' },
        directory: { type: 'string' },
        before: { type: 'string' },
        set: { type: 'string', multiple: true },
        help: { type: 'boolean', short: 'h' },
      },
    }).values
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}
