import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Log } from '../server/process/log.ts'
import { Releasers } from '../server/process/releasers.ts'
import { CASES, type StorageKind } from './cases.ts'
import { describeMachine, readVersions } from './machine.ts'
import type { BenchOptions } from './options.ts'
import type { CaseResult, Results } from './results.ts'
import { type RunCaseOptions, runCase } from './run-case.ts'
import { startDatabase } from './services/database.ts'
import { diskStore, lackForS3, startS3Store } from './services/store.ts'
import type { FormerCheckout } from './subjects/start.ts'

/** Who hears how it goes. */
export type Audience = {
  /** A case on a storage begins. */
  onCase: (name: string, storage: StorageKind) => void
  onRun: RunCaseOptions['onRun']
  onResult: (result: CaseResult) => void
  onSkipped: (reason: string) => void
}

/**
 * Measures everything that was asked for, below an empty `directory` that every user can enter. When it
 * ends, whether well, failed or by `signal`, nothing that it started is left running.
 */
export async function bench(
  options: BenchOptions,
  directory: string,
  audience: Audience,
  signal: AbortSignal,
  log: Log,
): Promise<Results> {
  const releasers = new Releasers()
  try {
    const database = await startDatabase(join(directory, 'postgres'))
    releasers.add('database', () => database.stop())
    const before = options.before === null ? undefined : await checkoutIn(options.before, directory)
    if (before) releasers.add('former database', () => before.database.stop())
    const results: Results = {
      date: new Date().toISOString(),
      machine: await describeMachine(directory),
      versions: await readVersions(),
      cases: [],
      skipped: [],
    }
    for (const storage of options.storages) {
      signal.throwIfAborted()
      const lack = storage === 's3' ? lackForS3() : undefined
      if (lack) {
        results.skipped.push(lack)
        audience.onSkipped(lack)
        continue
      }
      const store = storage === 's3' ? await startS3Store(join(directory, 'ceph'), signal) : diskStore
      releasers.add('store', () => store.stop())
      results.cases.push(
        ...(await runCases(options, storage, { directory, store, database, before, signal }, audience)),
      )
    }
    return results
  } finally {
    await releasers.releaseAll(log)
  }
}

async function runCases(
  { cases, isQuick, rounds, settings }: BenchOptions,
  storage: StorageKind,
  place: Pick<RunCaseOptions, 'directory' | 'store' | 'database' | 'before' | 'signal'>,
  audience: Audience,
): Promise<CaseResult[]> {
  const results: CaseResult[] = []
  for (const which of CASES.filter(
    ({ name, awayMs }) => cases.includes(name) && (awayMs === 0 || storage === 's3'),
  )) {
    audience.onCase(which.name, storage)
    const directory = join(place.directory, `${which.name}-${storage}`)
    await mkdir(directory)
    const result = await runCase({
      ...place,
      case: which,
      storage,
      isQuick,
      rounds: rounds ?? (isQuick ? QUICK_ROUNDS : which.rounds),
      directory,
      settings,
      onRun: audience.onRun,
    })
    audience.onResult(result)
    results.push(result)
  }
  return results
}

async function checkoutIn(root: string, directory: string): Promise<FormerCheckout> {
  return { root, database: await startDatabase(join(directory, 'postgres-before')) }
}

const QUICK_ROUNDS = 2
