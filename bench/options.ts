import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { CASES, STORAGES, type StorageKind } from './cases.ts'
import { PEERS, type PeerName } from './subjects/subject.ts'

const CASE_NAMES = CASES.map(({ name }) => name)

export const HELP = `npm run bench -- [options]: measures Landfall beside other servers

  --only NAME,…      these cases: ${CASE_NAMES.join(', ')}
  --storage KIND     disk or s3; both without it
  --peers NAME,…     beside these: ${PEERS.join(', ')}; without it, all of them in the cases with goals, stock in the others
  --rounds N         runs of every case that count, besides the first
  --quick            small uploads and two rounds, to see that it works
  --long             also a few uploads of 5 GB, Landfall alone unless --peers names others
  --set NAME=VALUE   a setting of Landfall, such as DISK_SYNC=never; any number of these
  --before DIR       beside another checkout of Landfall, with its packages installed, and those that --peers names
  --directory DIR    where files are written; the system's directory for such without it
  --help

The peers: stock is @tus/server with its own stores, raw a bare node:http server of ours that stores on disk and checks
nothing, tusd the server in Go, which go installs below .runtime/ before the first run.

A run of everything writes docs/benchmarks.md, .json and .svg; any other prints only.
`

/** What the bench was told to do. */
export type BenchOptions = {
  cases: readonly string[]
  storages: readonly StorageKind[]
  /** Null: those that each case is compared with. */
  peers: readonly PeerName[] | null
  /** Null: as many as the case wants. */
  rounds: number | null
  isQuick: boolean
  directory: string | null
  /** Another checkout of Landfall to compare with. */
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
  const { help, only, storage, peers, rounds, quick, long, directory, before, set = [] } = valuesOf(args)
  if (help) return undefined
  const usual = CASES.filter(({ isLong }) => long || !isLong)
  const cases = known('case', only?.split(',') ?? usual.map(({ name }) => name), CASE_NAMES)
  const storages = storage === undefined ? STORAGES : STORAGES.filter((kind) => kind === storage)
  if (storages.length === 0)
    throw new UsageError(`--storage takes ${STORAGES.join(' or ')}, not "${storage}"`)
  if (rounds !== undefined && !/^[1-9]\d?$/.test(rounds)) {
    throw new UsageError(`--rounds takes a number from 1 to 99, not "${rounds}"`)
  }
  return {
    cases,
    storages,
    peers: peersOf(peers, before),
    rounds: rounds === undefined ? null : Number(rounds),
    isQuick: quick === true,
    directory: directory ?? null,
    before: before === undefined ? null : resolve(before),
    settings: settingsOf(set),
    isComplete:
      !quick && set.length === 0 && [only, storage, peers, before].every((choice) => choice === undefined),
  }
}

/** Beside another checkout of Landfall there are only those that are named. */
function peersOf(named: string | undefined, before: string | undefined): BenchOptions['peers'] {
  if (named !== undefined) return known('peer', named.split(','), PEERS)
  return before === undefined ? null : []
}

/** Those of `all` that are named, in the order of `all`. Fails with `UsageError`. */
function known<Name extends string>(kind: string, names: readonly string[], all: readonly Name[]): Name[] {
  const unknown = names.find((name) => !all.some((other) => other === name))
  if (unknown !== undefined)
    throw new UsageError(`there is no ${kind} "${unknown}"; there are ${all.join(', ')}`)
  return all.filter((name) => names.includes(name))
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
        peers: { type: 'string' },
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
