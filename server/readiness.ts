import type { Ledger } from '../ledger/database.ts'
import { pingDatabase } from '../ledger/migrate.ts'
import type { Objects } from '../storage/objects.ts'
import { clamdVersion, hasOfficialSignatures } from './clamd-link.ts'
import type { ClamdAddress } from './config.ts'

type Check = { status: 'ok' } | { status: 'failing'; detail: string } | { status: 'off' }

export type ReadinessReport = {
  status: 'ready' | 'not-ready' | 'draining'
  checks: Record<'database' | 'storage' | 'scanner', Check>
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

/** Asks everything an upload needs whether it answers. Details stay general: the address is public. */
export function createReadiness({ db, objects, clamd }: ReadinessOptions): Readiness {
  let isDraining = false

  async function check(): Promise<ReadinessReport> {
    const [database, storage, version] = await Promise.allSettled([
      withTimeout(pingDatabase(db)),
      withTimeout(objects.checkWritable()),
      clamd ? clamdVersion(clamd, TIMEOUT_MS) : Promise.resolve(undefined),
    ])
    const checks = {
      database: result(database, 'The database does not answer.'),
      storage: result(storage, 'The storage cannot be written.'),
      scanner: clamd
        ? result(version, 'clamd does not answer: files stay unscanned and are not served.')
        : ({ status: 'off' } as const),
    }
    const isReady = Object.values(checks).every((c) => c.status !== 'failing')
    const lacksSignatures =
      version.status === 'fulfilled' && version.value !== undefined && !hasOfficialSignatures(version.value)
    return {
      status: isDraining ? 'draining' : isReady ? 'ready' : 'not-ready',
      checks,
      warnings: lacksSignatures ? [TEST_SIGNATURES_WARNING] : [],
    }
  }

  return {
    check,
    drain() {
      isDraining = true
    },
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
