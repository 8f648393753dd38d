import { isPoolStuck, type Ledger } from '../../ledger/database.ts'
import { DatabaseReadOnly, pingDatabase } from '../../ledger/ping.ts'
import type { Storage } from '../../storage/storage.ts'
import { inTime } from '../../system/in-time.ts'
import type { ClamdAddress } from '../config.ts'
import type { Dependency } from '../http/outages.ts'
import { clamdVersion, hasOfficialSignatures, signaturesOf } from './clamd-link.ts'
import { type Disks, LOW_DISK, lookAtDisks } from './disks.ts'

type Check = { status: 'ok' } | { status: 'failing'; detail: string } | { status: 'off' }

/** The scanner's database: version, publication date (ISO 8601), and age in days. */
type SignaturesReport = { version: number; publishedAt: string; ageDays: number }

/** Failures of this node alone: a balancer should use another. */
const OWN = ['database', 'bus', 'eventLoop'] as const
/** Failures of all nodes: another node would not help. */
const SHARED = ['storage', 'scanner'] as const
/** For operators only: requests are still taken. */
const WARNED = ['disk'] as const

type CheckName = (typeof OWN | typeof SHARED | typeof WARNED)[number]

export type ReadinessReport = {
  /** With `not-ready` and `draining` requests should go elsewhere; `degraded` is for operators. */
  status: 'ready' | 'degraded' | 'not-ready' | 'draining'
  checks: Record<Exclude<CheckName, 'scanner'>, Check> & {
    scanner: Check & { signatures?: SignaturesReport }
  }
  /** For operators, although the server works. */
  warnings: string[]
}

export type Readiness = {
  /** At most two seconds old. */
  check(): Promise<ReadinessReport>
  /** A request failed because this dependency is unavailable: stronger evidence than our checks. */
  noteOutage(dependency: Dependency): void
  drain(): void
}

export type ReadinessOptions = {
  /** On a connection of its own, so that a busy pool does not delay checks. */
  probe: Ledger
  /** The pool of requests. */
  db: Ledger
  bus: { readonly isConnected: boolean }
  eventLoop: { standstillMs(withinMs: number): number }
  storage: Pick<Storage, 'checkWritable'>
  disks: Disks
  /** Undefined with `SCAN=off`. */
  clamd: ClamdAddress | undefined
  log: { info(details: object, message: string): void; warn(details: object, message: string): void }
}

/** The dependencies are asked at most once in this time. */
const KEPT_MS = 2_000
/** An event loop that was blocked for this long, within this time, does not answer in time. */
const STUCK_MS = 5_000
const STUCK_WITHIN_MS = 10_000
/** How long a failed request counts as a storage failure, although checks succeed. */
const NOTED_MS = 30_000

const TIMEOUT_MS = 3_000

export const TEST_SIGNATURES_WARNING =
  'ClamAV uses a TEST DATABASE that detects the EICAR test file and NO REAL VIRUS. Run freshclam to get signatures.'

const DAY_MS = 86_400_000
/** Official signatures come out daily. */
const MAX_AGE_DAYS = 7

export const oldSignaturesWarning = (days: number) =>
  `The ClamAV signatures are ${Math.floor(days)} days old: newer viruses are not detected. Run freshclam.`

/**
 * Decides whether requests should be sent to this node, and reports failures of shared dependencies. Details are
 * general, as the address is public.
 */
export function createReadiness(options: ReadinessOptions): Readiness {
  const { probe, db, bus, eventLoop, storage: opened, disks, clamd, log } = options
  let isDraining = false
  let kept: { report: Promise<ReadinessReport>; until: number } | undefined
  let known: string | undefined
  let storageFailedAt = Number.NEGATIVE_INFINITY

  async function look(): Promise<ReadinessReport> {
    const [database, storage, version, reports] = await Promise.allSettled([
      withTimeout(pingDatabase(probe)),
      withTimeout(opened.checkWritable()),
      clamd ? clamdVersion(clamd, TIMEOUT_MS) : Promise.resolve(undefined),
      withTimeout(lookAtDisks(disks)),
    ])
    const versionLine = version.status === 'fulfilled' ? version.value : undefined
    const low = reports.status === 'fulfilled' ? reports.value.filter(({ isLow }) => isLow) : []
    const signatures = versionLine === undefined ? undefined : reportOn(versionLine)
    const checks = {
      database: databaseCheck(database),
      bus: bus.isConnected
        ? OK
        : failing('This server does not receive notifications from the other servers.'),
      eventLoop:
        eventLoop.standstillMs(STUCK_WITHIN_MS) < STUCK_MS
          ? OK
          : failing('The event loop of this server is blocked.'),
      storage: storageCheck(storage),
      disk: low[0] ? failing(LOW_DISK[low[0].place]) : OK,
      scanner: clamd
        ? {
            ...result(version, 'clamd does not answer: files are neither scanned nor served.'),
            ...(signatures ? { signatures } : {}),
          }
        : ({ status: 'off' } as const),
    }
    const warnings: string[] = low.map(({ place }) => LOW_DISK[place])
    if (versionLine !== undefined && !hasOfficialSignatures(versionLine))
      warnings.push(TEST_SIGNATURES_WARNING)
    if (signatures && signatures.ageDays > MAX_AGE_DAYS)
      warnings.push(oldSignaturesWarning(signatures.ageDays))
    const isFailing = (name: CheckName) => checks[name].status === 'failing'
    const status = OWN.some(isFailing)
      ? 'not-ready'
      : [...SHARED, ...WARNED].some(isFailing)
        ? 'degraded'
        : 'ready'
    return { status: isDraining ? 'draining' : status, checks, warnings }
  }

  function databaseCheck(outcome: PromiseSettledResult<unknown>): Check {
    if (outcome.status === 'rejected' && outcome.reason instanceof DatabaseReadOnly)
      return failing('The database is read-only.')
    if (isPoolStuck(db))
      return failing('Requests are waiting for database connections, and none becomes free.')
    return result(outcome, 'The database does not answer.')
  }

  function storageCheck(outcome: PromiseSettledResult<unknown>): Check {
    if (performance.now() - storageFailedAt < NOTED_MS)
      return failing('Requests fail because the storage is unavailable.')
    return result(outcome, 'The storage is not writable.')
  }

  /** Logs changes only. */
  function logChange({ status, checks }: ReadinessReport): void {
    const failures = Object.entries(checks).flatMap(([name, check]) =>
      check.status === 'failing' ? [`${name}: ${check.detail}`] : [],
    )
    const now = [status, ...failures].join(' ')
    const isNews = known === undefined ? failures.length > 0 : now !== known
    known = now
    if (!isNews) return
    if (status === 'ready' || status === 'draining')
      log.info({ readiness: status }, `this server is ${status}`)
    else log.warn({ readiness: status, failures }, `this server is ${status}`)
  }

  return {
    async check() {
      if (!kept || performance.now() > kept.until) {
        const report = look()
        kept = { report, until: Number.POSITIVE_INFINITY }
        const mine = kept
        report.then(logChange).finally(() => {
          mine.until = performance.now() + KEPT_MS
        })
      }
      return await kept.report
    },
    noteOutage(dependency) {
      if (dependency === 'storage') storageFailedAt = performance.now()
    },
    drain() {
      isDraining = true
      kept = undefined
    },
  }
}

const OK: Check = { status: 'ok' }
const failing = (detail: string): Check => ({ status: 'failing', detail })

function reportOn(version: string): SignaturesReport | undefined {
  const signatures = signaturesOf(version)
  if (!signatures) return undefined
  const ageMs = Math.max(0, Date.now() - signatures.publishedAt.getTime())
  return {
    version: signatures.version,
    publishedAt: signatures.publishedAt.toISOString(),
    ageDays: Math.round((ageMs / DAY_MS) * 10) / 10,
  }
}

function result(outcome: PromiseSettledResult<unknown>, detail: string): Check {
  return outcome.status === 'fulfilled' ? OK : failing(detail)
}

const withTimeout = <Result>(work: Promise<Result>): Promise<Result> =>
  inTime(work, TIMEOUT_MS, () => {
    throw new Error('timed out')
  })
