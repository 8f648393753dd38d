/**
 * npm run bench:processing: what Landfall does after the last byte, in real processes on this machine. How long a
 * 60 s 1080p video takes to be ready, step by step; and what 200 files for two worker slots do to the latency of a
 * small PATCH, which is compared with that of the idle server in the same run.
 */

import { randomBytes } from 'node:crypto'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import { openDatabase } from '../ledger/database.ts'
import { jpeg, shortVideo, video60s1080p } from '../test/fixtures/media.ts'
import { asUploadId } from '../test/support/ids.ts'
import { asMp4 } from '../test/support/sample-bytes.ts'
import { createId, patch, type Target } from '../test/support/tus.ts'
import { sendFile } from '../test/support/uploads.ts'
import { startDatabase } from './services/database.ts'
import { median, percentile } from './statistics.ts'
import { startLandfall, thisCheckout } from './subjects/landfall.ts'

const VIDEOS = 7
const FILES = 200
const IDLE_PATCHES = 1500
const PATCH_BYTES = 16 * 1024
const PATCHES_AN_UPLOAD = 100
const PAUSE_MS = 10

const fixed = (ms: number) => ms.toFixed(1).padStart(8)
const say = (line = '') => void process.stdout.write(`${line}\n`)

const directory = await mkdtemp(join(tmpdir(), 'landfall-bench-'))
// PostgreSQL runs as a user of its own where we are root.
await chmod(directory, 0o755)
const database = await startDatabase(join(directory, 'postgres'))
const place = { directory: join(directory, 'data'), bucket: null }
const landfall = await startLandfall(place, thisCheckout(database), {
  WORKER: 'child',
  WORKER_CONCURRENCY: '2',
  SCAN: 'required',
  CLAMD_URL: `unix:${join(directory, 'clamd.sock')}`,
})
const db = openDatabase({
  connectionString: database.url,
  maxConnections: 2,
  applicationName: 'bench',
  onPoolError: () => {},
})
const target: Target = {
  url: landfall.url,
  token: () => landfall.headers.Authorization?.slice('Bearer '.length) ?? '',
}

try {
  await untilReady(await sendFile(target, 'bench', await shortVideo()))
  await timeSteps()
  await timePatches()
} finally {
  await db.destroy()
  await landfall.stop()
  await database.stop()
  await rm(directory, { recursive: true, force: true })
}

async function timeSteps(): Promise<void> {
  const video = await video60s1080p()
  const times = new Map<string, number[]>()
  const totals: number[] = []
  for (let n = 0; n < VIDEOS; n++) {
    const sent = await sendFile(target, 'bench', video)
    totals.push(await untilReady(sent))
    const { rows } = await sql<{ step: string; ms: number }>`
      select step, (extract(epoch from s.finished_at - s.started_at) * 1000)::float8 as ms
        from landfall.processing_steps s join landfall.media m on m.id = s.media_id
       where m.upload_id = ${sent.uploadId} and s.status = 'done' order by s.started_at`.execute(db)
    for (const { step, ms } of rows) times.set(step, [...(times.get(step) ?? []), ms])
  }
  say(`a 60 s 1080p video, from the last byte to ready: ${totals.map((ms) => Math.round(ms)).join(', ')} ms`)
  say(`median ${Math.round(median(totals))} ms; steps, several of them side by side, median of ${VIDEOS}:`)
  for (const [step, all] of times) say(`  ${step.padEnd(12)} ${fixed(median(all))} ms`)
}

async function timePatches(): Promise<void> {
  const idle = await patchesUntil(async (count) => count >= IDLE_PATCHES)
  const pictures = await Promise.all(
    Array.from({ length: 10 }, (_, n) => jpeg({ width: 1600 + 2 * n, height: 1200 })),
  )
  const videos = await Promise.all(
    [5, 6, 7].map((seconds) => shortVideo({ seconds, width: 1280, height: 720 })),
  )
  const files = Array.from({ length: FILES }, (_, n) => (n % 4 === 0 ? videos[n % 3] : pictures[n % 10]))
  const began = performance.now()
  await Promise.all(files.map((file) => file && sendFile(target, 'bench', file)))
  say(`\n${FILES} files at once, received after ${Math.round(performance.now() - began)} ms`)
  const left = async () =>
    Number(
      (
        await sql<{
          n: number
        }>`select count(*) as n from landfall.media where status = 'processing'`.execute(db)
      ).rows[0]?.n,
    )
  let waiting = await left()
  say(`${waiting} of them waiting`)
  const look = setInterval(async () => {
    waiting = await left()
  }, 500)
  const busy = await patchesUntil(async () => waiting === 0)
  clearInterval(look)
  say(`all done after ${Math.round(performance.now() - began)} ms`)
  for (const [name, times] of [
    ['idle', idle],
    ['busy', busy],
  ] as const)
    say(
      `  ${name}: ${times.length} PATCHes of ${PATCH_BYTES / 1024} KiB, p50 ${fixed(median(times))} ms, p99 ${fixed(percentile(times, 99))} ms`,
    )
  say(`  p99 busy / idle: ${(percentile(busy, 99) / percentile(idle, 99)).toFixed(2)}`)
  const { rows } = await sql<{ status: string; n: number; longest: number }>`
    select status, count(*) as n, max(extract(epoch from ready_at - created_at))::float8 as longest
      from landfall.media where created_at > now() - make_interval(secs => ${(performance.now() - began) / 1000})
     group by status`.execute(db)
  for (const { status, n, longest } of rows)
    say(`  ${n} ${status}, the last ${longest?.toFixed(1)} s after its last byte`)
}

/** Milliseconds of small PATCHes, one after the other, until it is enough. */
async function patchesUntil(isEnough: (count: number) => Promise<boolean>): Promise<number[]> {
  const body = asMp4(randomBytes(PATCH_BYTES * PATCHES_AN_UPLOAD))
  const times: number[] = []
  while (!(await isEnough(times.length))) {
    const id = await createId(target, 'bench', { size: body.length + 1, metadata: { filename: 'movie.mp4' } })
    for (let n = 0; n < PATCHES_AN_UPLOAD && !(await isEnough(times.length)); n++) {
      const offset = n * PATCH_BYTES
      const began = performance.now()
      const answer = await patch(target, 'bench', id, {
        offset,
        body: body.subarray(offset, offset + PATCH_BYTES),
      })
      times.push(performance.now() - began)
      if (answer.status !== 204) throw new Error(`a PATCH answered ${answer.status}: ${await answer.text()}`)
      await sleep(PAUSE_MS)
    }
    await fetch(`${target.url}/files/${id}`, {
      method: 'DELETE',
      headers: { ...landfall.headers, 'Tus-Resumable': '1.0.0' },
    })
  }
  return times
}

/** Milliseconds from the last byte until it is ready. */
async function untilReady({
  uploadId,
  lastByteAt,
}: {
  uploadId: string
  lastByteAt: number
}): Promise<number> {
  for (;;) {
    const media = await db
      .selectFrom('landfall.media')
      .select('status')
      .where('upload_id', '=', asUploadId(uploadId))
      .executeTakeFirst()
    if (media?.status === 'ready') return performance.now() - lastByteAt
    if (media && media.status !== 'processing') throw new Error(`the media is ${media.status}`)
    await sleep(10)
  }
}
