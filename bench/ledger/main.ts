/**
 * npm run bench:ledger: what the statements of the reaper, of lists, metrics, the renewal of leases and retention take
 * in a ledger of a million media items and 50,000 media that wait, and by which plan. It fails when the reaper needs a second
 * for nothing, when a page of a list of 100,000 media items takes 20 ms, or when a statement that is not of maintenance
 * reads a large table from end to end. `npm run bench:ledger -- 200000` tries it with fewer uploads.
 */
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'kysely'
import { createQueues, openQueues } from '../../jobs/queues.ts'
import { prune } from '../../jobs/upkeep/pruner.ts'
import { reap } from '../../jobs/upkeep/reaper.ts'
import type { OwnerId, UploadId } from '../../ledger/ids.ts'
import { renewLeases } from '../../ledger/leases.ts'
import { listMedia } from '../../ledger/media-list.ts'
import { migrateToLatest } from '../../ledger/migrate.ts'
import {
  countOpenUploads,
  lastEventBefore,
  processingBacklog,
  stepTimes,
  tableRows,
  webhookBacklog,
} from '../../ledger/operating-figures.ts'
import { readQuota } from '../../ledger/quotas.ts'
import { expiredUploads, expireEmptyUploads, expireUploads } from '../../ledger/reaping.ts'
import { miscountedOwners, recountOwner } from '../../ledger/recounting.ts'
import { listOpenUploads } from '../../ledger/uploads.ts'
import { listDeliveries } from '../../ledger/webhook-history.ts'
import { startDatabase } from '../services/database.ts'
import { openExplained, type Statement, waysOf } from './explained.ts'
import { mediaLists, type NamedList } from './media-lists.ts'
import { seed, UPLOADS, WAITING } from './seed.ts'

const REAP_MS = 1000
const DAY = 86_400_000
const busy = 'busy' as OwnerId
const say = (line = '') => void process.stdout.write(`${line}\n`)
const failures: string[] = []

const directory = await mkdtemp(join(tmpdir(), 'landfall-bench-'))
// PostgreSQL runs as a user of its own where we are root.
await chmod(directory, 0o755)
const database = await startDatabase(join(directory, 'postgres'))
const { db, taken } = openExplained(database.url)
const boss = await openQueues({ db, supervise: false, migrate: true, onError: (error) => say(String(error)) })

/** Runs something and prints its statements, the slowest first. `isMaintenance`: it may read whole tables. */
async function timed(name: string, work: () => Promise<unknown>, isMaintenance = false): Promise<number> {
  taken()
  const before = performance.now()
  await work()
  const ms = performance.now() - before
  const statements = taken()
  say(`${name}: ${ms.toFixed(1)} ms, ${statements.length} statements`)
  for (const one of statements.toSorted((a, b) => b.ms - a.ms).slice(0, 4)) print(one)
  // The reaper compares all media that wait with all jobs: of the queue it reads the whole.
  const scanned = new Set(statements.flatMap(({ scans }) => scans.filter((table) => table !== 'job_common')))
  if (scanned.size > 0 && !isMaintenance) failures.push(`${name} scans ${[...scanned].join(', ')}`)
  return ms
}

const LIST_MS = 20

/** The statements of a page take no more than this together, once the database has read what they need. */
async function timedList([name, query]: NamedList): Promise<void> {
  await listMedia(db, query)
  taken()
  await listMedia(db, query)
  const statements = taken()
  const ms = statements.reduce((sum, one) => sum + one.ms, 0)
  const ways = [...new Set(statements.flatMap(({ plan }) => waysOf(plan)))]
  say(`list of media ${name}: ${ms.toFixed(1)} ms in ${statements.length} statements, by ${ways.join('; ')}`)
  if (ms > LIST_MS) failures.push(`list of media ${name} takes ${ms.toFixed(1)} ms`)
}

function print({ text, ms, plan }: Statement): void {
  say(`  ${ms.toFixed(1).padStart(9)} ms  ${text.slice(0, 90)}`)
  say(`                by ${waysOf(plan).join('; ') || 'no table'}`)
}

try {
  await migrateToLatest(db)
  await createQueues(boss)
  say(`seeding ${UPLOADS} uploads, ${WAITING} media that wait …`)
  await seed(db)
  const log = { error: (details: object, message: string) => say(`${message} ${JSON.stringify(details)}`) }
  const reapNow = () => reap({ db, boss, retentionMs: 7 * DAY, notifyListeners: () => {}, log })

  const ms = await timed(`the reaper, with ${WAITING} media that wait`, reapNow)
  if (ms > REAP_MS) failures.push(`the reaper took ${ms.toFixed(0)} ms for nothing`)

  const rows = await sql<{ id: UploadId; fence: string }>`
    select upload_id as id, fence::text from landfall.upload_locks limit 1000`.execute(db)
  const held = rows.rows.map(({ id, fence }) => ({ uploadId: id, fence }))
  await timed('renewal of 1,000 of 20,000 leases', () => renewLeases(db, held, 60_000))
  await timed('list of open uploads', () =>
    listOpenUploads(db, { ownerId: busy, isPartial: false, limit: 101 }),
  )
  await timed('quota', () => readQuota(db, busy, { bytes: null, uploads: null, openUploads: 5 }))
  for (const list of await mediaLists(db, busy)) await timedList(list)
  await timed('list of failed deliveries of everybody', () =>
    listDeliveries(db, { of: 'everybody', limit: 100, status: 'failed' }),
  )
  await timed('metrics', async () => {
    await countOpenUploads(db)
    await processingBacklog(db)
    await stepTimes(db, 5 * 60_000)
    await webhookBacklog(db)
    await lastEventBefore(db, 30_000)
    await tableRows(db)
  })
  await timed('room for an owner', () =>
    expireEmptyUploads(db, 'owner-7' as OwnerId, { of: 'uploads', amount: 1 }, async () => {}),
  )
  await sql`delete from landfall.upload_locks`.execute(db)
  await sql`
    update landfall.uploads set expires_at = now() - interval '1 second'
     where id in (select id from landfall.uploads where state = 'open' limit 1000)`.execute(db)
  await timed('expiry of 100 uploads', async () => {
    const { ids } = await expiredUploads(db, 100, undefined)
    await expireUploads(db, ids, async () => {})
  })
  await timed('retention, 100,000 rows of a table at most', () =>
    prune(db, { historyMs: 30 * DAY, recordMs: 45 * DAY }),
  )
  await timed('retention, with nothing left to do', async () => {
    for (let i = 0; i < 3; i++) await prune(db, { historyMs: 59 * DAY, recordMs: 59 * DAY })
  })
  await timed('recount of everybody', () => miscountedOwners(db), true)
  await timed('recount of one owner', () => recountOwner(db, 'owner-7' as OwnerId))
} finally {
  await boss.stop({ close: false, graceful: false })
  await db.destroy()
  await database.stop()
  await rm(directory, { recursive: true, force: true })
}
say()
for (const failure of failures) say(`FAIL ${failure}`)
if (failures.length === 0)
  say(
    'PASS: the reaper took less than a second, every list less than 20 ms, and nothing scanned a large table',
  )
process.exitCode = failures.length > 0 ? 1 : 0
