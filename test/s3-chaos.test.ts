import { sql } from 'kysely'
import { describe, expect, it } from 'vitest'
import { openQueues } from '../jobs/queues.ts'
import { reap } from '../jobs/upkeep/reaper.ts'
import { requires } from './services/requirements.ts'
import { asUploadId } from './support/ids.ts'
import { slowly } from './support/pauses.ts'
import { QUIET } from './support/quiet.ts'
import { Random } from './support/random.ts'
import { type S3Landfall, sha256Of, startS3Landfall, videoOfSize } from './support/s3-landfall.ts'
import { createId, head, patch, terminate } from './support/tus.ts'

const ceph = requires('ceph')
const ffmpeg = requires('ffmpeg')
const MIB = 1024 * 1024
const UPLOADS = 50
const AT_ONCE = 10
const SEED = Number(process.env.LANDFALL_CHAOS_SEED ?? Math.floor(Math.random() * 2 ** 31))

/** A file and the way its client sends it. */
type Planned = {
  owner: string
  bytes: Buffer
  chunk: () => number
  cut: () => number | undefined
  isGivenUp: boolean
}

describe.skipIf(!ceph.met || !ffmpeg.met)(
  `S3 that fails one call in ten (LANDFALL_CHAOS_SEED=${SEED})`,
  () => {
    it(`${UPLOADS} uploads of odd sizes in odd chunks over lines that break: each arrives, nothing is left`, async () => {
      const landfall = await startS3Landfall({ env: { SCAN: 'off', WORKER_CONCURRENCY: '8' } })
      try {
        const faults = landfall.proxy.random({
          seed: SEED,
          probability: 0.1,
          kinds: [
            'refuse-500',
            'refuse-503',
            'reset-before',
            'reset-after',
            'truncate',
            'stall',
            { what: 'delay', delayMs: 300 },
          ],
        })
        const random = new Random(SEED)
        const planned: Planned[] = []
        for (let index = 0; index < UPLOADS; index++) planned.push(await plan(random, index))
        const ids = await inBatches(planned, AT_ONCE, (upload) => send(landfall, upload))

        const kept = ids.filter((_, index) => !planned[index]?.isGivenUp)
        const ready = () => countInState(landfall, kept, 'ready')
        const half = Math.floor(kept.length / 2)
        await expect.poll(ready, { timeout: 250_000, interval: 250 }).toBeGreaterThanOrEqual(half)
        expect(faults.hits).toBeGreaterThan(UPLOADS / 2)
        faults.stop()
        // The unluckiest may wait for the fifth attempt, or for one of the last queue: for minutes, whatever S3 does by then.
        await expect.poll(ready, { timeout: 250_000, interval: 250 }).toBe(kept.length)

        const { bucket, db } = landfall
        const media = await db.selectFrom('landfall.media').selectAll().execute()
        for (const [index, id] of ids.entries()) {
          const upload = planned[index]
          if (!upload || upload.isGivenUp) continue
          const row = media.find((one) => one.upload_id === id)
          expect(row?.sha256).toBe(sha256Of(upload.bytes))
          const answer = await landfall.as(upload.owner)(`/api/v1/media/${row?.id}/content`)
          expect(sha256Of(Buffer.from(await answer.arrayBuffer()))).toBe(sha256Of(upload.bytes))
        }
        const renditions = await db.selectFrom('landfall.renditions').select('storage_key').execute()
        const expected = [...media, ...renditions].map((row) => row.storage_key).sort()
        // Calls that we had given up on went on when the faults were stopped: what they made is swept as if later.
        await sweepNow(landfall)
        // The worker looks for sweeps once a minute, unless they are of its own reaper.
        await expect.poll(async () => (await bucket.keys()).sort(), { timeout: 250_000 }).toEqual(expected)
        await expect.poll(() => bucket.openMultiparts(), { timeout: 30_000 }).toEqual([])
        await expect.poll(() => leftInLedger(landfall), { timeout: 250_000 }).toEqual([])
      } finally {
        await landfall.close()
      }
    }, 700_000)
  },
)

async function plan(random: Random, index: number): Promise<Planned> {
  const size = random.chance(0.3) ? random.integer(120_000, 400_000) : random.integer(400_000, 14 * MIB)
  const isAligned = random.chance(0.3)
  return {
    owner: `owner-${index % 5}`,
    bytes: await videoOfSize(size, `${SEED} ${index}`),
    chunk: () => (isAligned ? 5 * MIB : random.magnitude(10_000, size)),
    cut: () => (random.chance(0.15) ? random.integer(1, size) : undefined),
    isGivenUp: random.chance(0.15),
  }
}

/** Sends as a client that never gives up: after whatever happens it asks for the offset and goes on from there. */
async function send(landfall: S3Landfall, { owner, bytes, chunk, cut, isGivenUp }: Planned): Promise<string> {
  const id = await createId(landfall, owner, {
    size: bytes.length,
    metadata: { filename: 'a.mp4', filetype: 'video/mp4' },
  })
  const stopAt = isGivenUp ? Math.floor(bytes.length / 2) : bytes.length
  let acknowledged = 0
  while (acknowledged < stopAt) {
    const known = await head(landfall, owner, id).catch(() => undefined)
    if (known?.status !== 200) {
      expect([undefined, 423, 503]).toContain(known?.status)
      await slowly(50)
      continue
    }
    const offset = Number(known.headers.get('Upload-Offset'))
    expect(offset).toBeGreaterThanOrEqual(acknowledged)
    acknowledged = offset
    const body = bytes.subarray(offset, Math.min(offset + chunk(), stopAt))
    const abort = new AbortController()
    const cutAt = cut()
    const answer = await patch(landfall, owner, id, {
      offset,
      body: cutAt === undefined || cutAt > body.length ? body : cutAfter(body, cutAt, abort),
      signal: abort.signal,
    }).catch(() => undefined)
    if (answer?.status === 204) acknowledged = Number(answer.headers.get('Upload-Offset'))
    else expect([undefined, 409, 423, 503]).toContain(answer?.status)
  }
  if (isGivenUp) {
    for (;;) {
      const answer = await terminate(landfall, owner, id)
      if (answer.status === 204 || answer.status === 410) break
      expect([423, 503]).toContain(answer.status)
    }
  }
  return id
}

/** A body whose connection breaks after so many bytes. */
function cutAfter(body: Uint8Array, bytes: number, abort: AbortController): ReadableStream<Uint8Array> {
  let isSent = false
  return new ReadableStream({
    async pull(controller) {
      if (!isSent) controller.enqueue(body.subarray(0, bytes))
      else {
        await slowly(20)
        abort.abort()
      }
      isSent = true
    },
  })
}

/** The second removal of what a late call may have made, a quarter of an hour early. */
async function sweepNow(landfall: S3Landfall): Promise<void> {
  const { db } = landfall
  // The calls that were stalled have all arrived.
  await expect.poll(() => landfall.proxy.calls.every((call) => call.endedAt !== undefined)).toBe(true)
  await sql`update landfall.upload_tails set dropped_at = dropped_at - interval '1 hour'`.execute(db)
  await sql`update landfall.uploads set updated_at = updated_at - interval '1 hour'`.execute(db)
  const boss = await openQueues({
    db,
    supervise: false,
    onError: (error) => expect.unreachable(String(error)),
  })
  await reap({ db, boss, retentionMs: 7 * 86_400_000, notifyListeners() {}, log: QUIET })
  await boss.stop({ close: false, graceful: false })
}

/** Rows of things that should not be in the bucket any more. */
async function leftInLedger({ db }: S3Landfall): Promise<unknown[]> {
  return [
    ...(await db.selectFrom('landfall.upload_tails').selectAll().execute()),
    ...(await db.selectFrom('landfall.uploads').select('id').where('multipart_unsure', '=', true).execute()),
  ]
}

async function countInState(landfall: S3Landfall, uploads: string[], status: 'ready'): Promise<number> {
  const rows = await landfall.db
    .selectFrom('landfall.media')
    .select(['status', 'reason'])
    .where('upload_id', 'in', uploads.map(asUploadId))
    .execute()
  expect(rows.filter((row) => row.status === 'failed' || row.status === 'rejected')).toEqual([])
  return rows.filter((row) => row.status === status).length
}

/** Does `work` for each item, so many at a time; the results keep the order of the items. */
async function inBatches<Item, Result>(
  items: readonly Item[],
  atOnce: number,
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = []
  const queue = items.entries()
  const run = async () => {
    for (const [index, item] of queue) results[index] = await work(item)
  }
  await Promise.all(Array.from({ length: atOnce }, run))
  return results
}
