import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Log } from '../server/process/log.ts'
import { Releasers } from '../server/process/releasers.ts'
import { CASES, type StorageKind } from './cases.ts'
import { isWanted, openPeers, peerNamesOf } from './choose-peers.ts'
import { describeMachine, readVersions } from './machine.ts'
import type { BenchOptions } from './options.ts'
import type { CaseResult, Results } from './results.ts'
import { type RunCaseOptions, runCase } from './run-case.ts'
import { startDatabase } from './services/database.ts'
import { diskStore, lackForS3, startS3Store } from './services/store.ts'
import { installTusd, TUSD_VERSION, type Tusd } from './subjects/install-tusd.ts'
import type { FormerCheckout } from './subjects/landfall.ts'

/** Who hears how it goes. */
export type Audience = {
  /** A case on a storage begins. */
  onCase: (name: string, storage: StorageKind) => void
  onRun: RunCaseOptions['onRun']
  onResult: (result: CaseResult) => void
  onSkipped: (reason: string) => void
  onNotice: (text: string) => void
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
  const tusd = isWanted(options, 'tusd') ? await tusdFor(audience, signal) : undefined
  const releasers = new Releasers()
  try {
    const database = await startDatabase(join(directory, 'postgres'))
    releasers.add('database', () => database.stop())
    const before = options.before === null ? undefined : await checkoutIn(options.before, directory)
    if (before) releasers.add('former database', () => before.database.stop())
    const results: Results = {
      date: new Date().toISOString(),
      machine: await describeMachine(directory),
      versions: { ...(await readVersions()), ...(tusd && 'program' in tusd ? { tusd: TUSD_VERSION } : {}) },
      cases: [],
      skipped: tusd && 'lack' in tusd ? [tusd.lack] : [],
    }
    for (const storage of options.storages) {
      signal.throwIfAborted()
      const lack = storage === 's3' ? lackForS3() : undefined
      if (lack) {
        results.skipped.push(lack)
        audience.onSkipped(lack)
        continue
      }
      if (storage === 's3' && isWanted(options, 'raw')) audience.onNotice('raw stores on disk only')
      const store = storage === 's3' ? await startS3Store(join(directory, 'ceph'), signal) : diskStore
      releasers.add('store', () => store.stop())
      results.cases.push(
        ...(await runCases(options, storage, { directory, store, database, before, signal }, tusd, audience)),
      )
    }
    return results
  } finally {
    await releasers.releaseAll(log)
  }
}

async function runCases(
  options: BenchOptions,
  storage: StorageKind,
  place: Pick<RunCaseOptions, 'directory' | 'store' | 'database' | 'before' | 'signal'>,
  tusd: Tusd | undefined,
  audience: Audience,
): Promise<CaseResult[]> {
  const { cases, isQuick, rounds, settings } = options
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
      peers: openPeers(peerNamesOf(options, which, storage), tusd),
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

/** It is kept among what set-up has installed: to compile it takes minutes. */
async function tusdFor(audience: Audience, signal: AbortSignal): Promise<Tusd> {
  const tusd = await installTusd({
    cache: join(import.meta.dirname, '..', '.runtime', 'bench'),
    env: process.env,
    signal,
    onInstall: () => audience.onNotice(`go installs tusd ${TUSD_VERSION}, once: this can take minutes`),
  })
  if ('lack' in tusd) audience.onSkipped(tusd.lack)
  return tusd
}

const QUICK_ROUNDS = 2
