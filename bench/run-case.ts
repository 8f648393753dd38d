import { join } from 'node:path'
import { type S3Proxy, startS3Proxy } from '../test/support/s3-proxy.ts'
import type { Case, StorageKind } from './cases.ts'
import type { UploadPlan } from './client/plan.ts'
import { planInWords } from './client/plan-in-words.ts'
import { countCalls } from './count-calls.ts'
import { figuresOf, medianFigures, ratiosOf } from './figures.ts'
import { measure } from './measure.ts'
import type { CaseResult, Figures } from './results.ts'
import type { DatabaseServer } from './services/database.ts'
import type { Store } from './services/store.ts'
import { type FormerCheckout, startLandfall, thisCheckout } from './subjects/landfall.ts'
import type { Peer } from './subjects/peers.ts'
import { PEERS, type Subject, type SubjectName } from './subjects/subject.ts'

export type RunCaseOptions = {
  case: Case
  storage: StorageKind
  isQuick: boolean
  rounds: number
  /** A fresh directory below which the subjects store. */
  directory: string
  store: Store
  database: DatabaseServer
  /** Servers of others to measure beside Landfall. */
  peers: readonly Peer[]
  /** Another checkout of Landfall to measure beside it. */
  before: FormerCheckout | undefined
  /** Settings of Landfall besides those that the bench needs. */
  settings: Record<string, string>
  signal: AbortSignal
  /** Hears of each run as it ends. */
  onRun: (subject: SubjectName, round: number, figures: Figures) => void
}

/** In the order of a report. */
const REPORTED: readonly SubjectName[] = [...PEERS, 'before', 'landfall']

/**
 * Measures one case on one storage. Its subjects are started for it and stopped afterwards, so that no
 * case inherits the memory of another. One that fails has no result; the others go on.
 */
export async function runCase(options: RunCaseOptions): Promise<CaseResult> {
  const { case: which, storage, isQuick } = options
  const { name, per, operation, awayMs } = which
  const plan = isQuick ? which.quick : which.full[storage]
  const { figures, failures } = await withSubjects(options, (subjects) => runRounds(options, plan, subjects))
  const isCounted = storage === 's3' && !which.isLong && !options.before && Object.keys(failures).length === 0
  const calls = isCounted ? await countCalls(options) : {}
  const subjects: CaseResult['subjects'] = {}
  for (const subject of REPORTED) {
    const rounds = figures[subject]
    if (rounds) subjects[subject] = { rounds, median: medianFigures(rounds), calls: calls[subject] ?? null }
  }
  return {
    name,
    title: planInWords(plan) + (awayMs > 0 ? `, the bucket ${awayMs} ms away` : ''),
    per,
    operation,
    storage,
    plan,
    subjects,
    failures,
    ratios: allRatios(subjects),
  }
}

/** Landfall over each of the others. */
function allRatios({ landfall, ...rivals }: CaseResult['subjects']): CaseResult['ratios'] {
  if (!landfall) return {}
  const ratios = Object.entries(rivals).map(([name, rival]) => [
    name,
    ratiosOf(landfall.rounds, rival.rounds),
  ])
  return Object.fromEntries(ratios)
}

/** The subjects in turn, round by round, the first of which does not count. */
async function runRounds(
  options: RunCaseOptions,
  plan: UploadPlan,
  subjects: readonly Subject[],
): Promise<{ figures: Partial<Record<SubjectName, Figures[]>>; failures: CaseResult['failures'] }> {
  const { case: which, rounds, signal, onRun } = options
  const figures: Partial<Record<SubjectName, Figures[]>> = {}
  const failures: CaseResult['failures'] = {}
  for (let round = 0; round <= rounds; round++) {
    // A long case warms up on a small plan: its first run would say nothing that the others do not.
    const used = round === 0 && which.rounds === 1 ? which.quick : plan
    // The first subject has a machine that has rested: they take turns at that too.
    for (const subject of round % 2 === 0 ? subjects : subjects.toReversed()) {
      if (subject.name in failures) continue
      try {
        const figure = figuresOf(which.per, used, await measure(subject, used, options))
        onRun(subject.name, round, figure)
        if (round > 0) figures[subject.name] = [...(figures[subject.name] ?? []), figure]
      } catch (error) {
        if (signal.aborted) throw error
        failures[subject.name] = error instanceof Error ? error.message : String(error)
        delete figures[subject.name]
      }
    }
  }
  for (const subject of subjects) await subject.removeFiles()
  return { figures, failures }
}

/** Starts the subjects of a case, each on a place of its own, and stops them whatever happens. */
async function withSubjects<Result>(
  { case: which, directory, store, database, peers, before, settings }: RunCaseOptions,
  use: (subjects: Subject[]) => Promise<Result>,
): Promise<Result> {
  const subjects: Subject[] = []
  const proxies: S3Proxy[] = []
  const place = async (name: SubjectName) => {
    const own = await store.place(join(directory, name))
    if (!own.bucket || which.awayMs === 0) return own
    const proxy = await startS3Proxy(own.bucket.endpoint)
    proxies.push(proxy)
    proxy.fail({ when: () => true, what: 'delay', delayMs: which.awayMs })
    return { ...own, bucket: { ...own.bucket, endpoint: proxy.url } }
  }
  try {
    for (const peer of peers) subjects.push(await peer.start(await place(peer.name)))
    if (before) {
      const former = { name: 'before', root: before.root, database: await before.database.fresh() } as const
      subjects.push(await startLandfall(await place('before'), former, settings))
    }
    subjects.push(
      await startLandfall(await place('landfall'), thisCheckout(await database.fresh()), settings),
    )
    return await use(subjects)
  } finally {
    await Promise.all(subjects.map((subject) => subject.stop()))
    await Promise.all(proxies.map((proxy) => proxy.close()))
  }
}
