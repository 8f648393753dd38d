import type { Ledger } from '../ledger/database.ts'
import { pingDatabase } from '../ledger/ping.ts'
import type { Objects } from '../storage/objects.ts'
import { clamdVersion, hasOfficialSignatures, signaturesOf } from './clamd-link.ts'
import type { ClamdAddress } from './config.ts'

type Check = { status: 'ok' } | { status: 'failing'; detail: string } | { status: 'off' }

/** The scanner's database: its number, when it was published (ISO 8601), and how many days ago that is. */
type SignaturesReport = { version: number; publishedAt: string; ageDays: number }

export type ReadinessReport = {
  status: 'ready' | 'not-ready' | 'draining'
  checks: Record<'database' | 'storage', Check> & { scanner: Check & { signatures?: SignaturesReport } }
  /** What an operator should know although the server works. */
  warnings: string[]
}

export type Readiness = { check(): Promise<ReadinessReport>; drain(): void }

export type ReadinessOptions = {
  db: Ledger
  objects: Objects
  /** Undefined with `SCAN=off`. */
  clamd: ClamdAddress | undefined
}

const TIMEOUT_MS = 3_000

export const TEST_SIGNATURES_WARNING =
  'ClamAV runs with a TEST DATABASE that finds the EICAR test file and NO REAL VIRUS. Run freshclam to get signatures.'

const DAY_MS = 86_400_000
/** Official signatures come out daily. */
const MAX_AGE_DAYS = 7

export const oldSignaturesWarning = (days: number) =>
  `The signatures of ClamAV are ${Math.floor(days)} days old: viruses since then are not found. Run freshclam.`

/** Asks everything an upload needs whether it answers. Details stay general: the address is public. */
export function createReadiness({ db, objects, clamd }: ReadinessOptions): Readiness {
  let isDraining = false

  async function check(): Promise<ReadinessReport> {
    const [database, storage, version] = await Promise.allSettled([
      withTimeout(pingDatabase(db)),
      withTimeout(objects.checkWritable()),
      clamd ? clamdVersion(clamd, TIMEOUT_MS) : Promise.resolve(undefined),
    ])
    const said = version.status === 'fulfilled' ? version.value : undefined
    const signatures = said === undefined ? undefined : reportOn(said)
    const checks = {
      database: result(database, 'The database does not answer.'),
      storage: result(storage, 'The storage cannot be written.'),
      scanner: clamd
        ? {
            ...result(version, 'clamd does not answer: files stay unscanned and are not served.'),
            ...(signatures ? { signatures } : {}),
          }
        : ({ status: 'off' } as const),
    }
    const isReady = Object.values(checks).every((c) => c.status !== 'failing')
    const warnings: string[] = []
    if (said !== undefined && !hasOfficialSignatures(said)) warnings.push(TEST_SIGNATURES_WARNING)
    if (signatures && signatures.ageDays > MAX_AGE_DAYS)
      warnings.push(oldSignaturesWarning(signatures.ageDays))
    return {
      status: isDraining ? 'draining' : isReady ? 'ready' : 'not-ready',
      checks,
      warnings,
    }
  }

  return {
    check,
    drain() {
      isDraining = true
    },
  }
}

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
  return outcome.status === 'fulfilled' ? { status: 'ok' } : { status: 'failing', detail }
}

async function withTimeout(work: Promise<unknown>): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new Error('timed out')), TIMEOUT_MS)
  try {
    await Promise.race([work, promise])
  } finally {
    clearTimeout(timer)
  }
}
