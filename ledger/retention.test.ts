import { sql } from 'kysely'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { openExplained } from '../bench/ledger/explained.ts'
import { openQueues } from '../jobs/queues.ts'
import { prune } from '../jobs/upkeep/pruner.ts'
import { freshDatabase } from '../test/support/landfall.ts'
import { created, leaseOf, newUpload, openLedger, SIZE, UNLIMITED } from '../test/support/ledger.ts'
import { createUpload } from './creation.ts'
import type { Ledger } from './database.ts'
import { describeMedia } from './description.ts'
import { finishUpload } from './finishing.ts'
import { newMediaId, type OwnerId, type UploadId } from './ids.ts'
import { deleteMedia, publishMedia, rejectMedia } from './media.ts'
import { patchMedia } from './media-patch.ts'
import { purgeMedia } from './purging.ts'
import { expireUploads } from './reaping.ts'
import { reprocessMedia } from './reprocessing.ts'
import { pruneEmptyUploads, pruneEvents, pruneMedia } from './retention.ts'
import { beginStep, endStep, stepsDone } from './steps.ts'
import { appendBytes, terminateUpload } from './uploads.ts'

const nothing = async () => {}
const alice = 'alice' as OwnerId
const DAY = 86_400_000
const RETENTION = { historyMs: 30 * DAY, recordMs: 365 * DAY }
const NOTHING = { deliveries: 0, events: 0, steps: 0, stripped: 0, media: 0, uploads: 0 }
const LARGE = { filename: 'ä.png', note: 'x'.repeat(100) + crypto.randomUUID().repeat(200) }
let connectionString: string
let db: Ledger

beforeEach(async () => {
  connectionString = await freshDatabase()
  db = openLedger(connectionString)
  const boss = await openQueues({ db, supervise: false, onError: () => {} })
  await boss.stop({ close: false, graceful: false })
})
afterEach(() => db.destroy())

async function receive(changes: Parameters<typeof newUpload>[1] = {}) {
  const id = created(await createUpload(db, newUpload('alice', changes), UNLIMITED))
  const mediaId = newMediaId()
  await finishUpload(
    db,
    { id, ownerId: alice, fence: await leaseOf(db, 'alice', id), offset: 0, to: SIZE },
    mediaId,
    nothing,
  )
  return { id, mediaId }
}

async function terminated(bytes: number, metadata: Record<string, string>): Promise<UploadId> {
  const id = created(
    await createUpload(db, newUpload('alice', { metadata, metadataHeader: 'as it was' }), UNLIMITED),
  )
  const fence = await leaseOf(db, 'alice', id)
  const expiry = { afterMs: DAY, maxAgeMs: DAY }
  if (bytes > 0) await appendBytes(db, { id, ownerId: alice, fence, offset: 0, to: bytes }, expiry)
  await terminateUpload(db, { id, ownerId: alice, fence }, nothing)
  return id
}

/** As if everything had happened so many days earlier. */
async function letPass(days: number): Promise<void> {
  const passed = sql`make_interval(days => ${days})`
  await sql`update landfall.events set created_at = created_at - ${passed}`.execute(db)
  await sql`update landfall.webhook_deliveries set created_at = created_at - ${passed}`.execute(db)
  await sql`update landfall.processing_steps set started_at = started_at - ${passed}, finished_at = finished_at - ${passed}`.execute(
    db,
  )
  await sql`update landfall.uploads set ended_at = ended_at - ${passed}`.execute(db)
  await sql`update landfall.media set purged_at = purged_at - ${passed}, created_at = created_at - ${passed}`.execute(
    db,
  )
}

const countOf = async (table: string): Promise<number> => {
  const { rows } = await sql<{
    count: number
  }>`select count(*) from ${sql.table(`landfall.${table}`)}`.execute(db)
  return rows[0]?.count ?? 0
}

const metadataOf = (id: UploadId) =>
  db
    .selectFrom('landfall.uploads')
    .select(['metadata', 'metadata_header', 'filename', 'state'])
    .where('id', '=', id)
    .executeTakeFirst()

it('keeps what is young', async () => {
  await receive()
  await terminated(5, { filename: 'ä.png' })
  await letPass(29)
  expect(await prune(db, RETENTION)).toEqual(NOTHING)
})

it('forgets events and deliveries that are over, and keeps what waits to be delivered', async () => {
  await sql`insert into landfall.webhook_endpoints (id, url) values ('e', 'https://example.org')`.execute(db)
  for (let i = 0; i < 3; i++) await receive()
  await sql`update landfall.webhook_deliveries set status = 'delivered' where position > 1`.execute(db)
  await sql`insert into landfall.webhook_attempts (delivery_id, attempt, duration_ms) select id, 1, 5 from landfall.webhook_deliveries`.execute(
    db,
  )
  await letPass(31)
  expect(await prune(db, RETENTION)).toMatchObject({ deliveries: 2, events: 5 })
  expect(await countOf('webhook_attempts')).toBe(1)
  // Nobody will take it any more.
  await sql`update landfall.webhook_endpoints set disabled_at = now() - interval '31 days'`.execute(db)
  expect(await prune(db, RETENTION)).toMatchObject({ deliveries: 1, events: 1 })
})

it('forgets records of steps, but not what is never done twice', async () => {
  const { id, mediaId } = await receive()
  await sql`insert into landfall.upload_parts (upload_id, part_number, "offset", size, etag) values (${id}, 1, 0, ${SIZE}, 'e')`.execute(
    db,
  )
  for (const step of ['assemble', 'scan', 'thumbnail']) {
    const attempt = await beginStep(db, mediaId, step)
    await endStep(db, { mediaId, step, attempt }, { status: 'done', detail: { step } })
    // With the record that the parts are one object they go.
    expect(await countOf('upload_parts')).toBe(0)
  }
  await letPass(31)
  expect(await prune(db, RETENTION)).toMatchObject({ steps: 0 })
  await publishMedia(db, mediaId)
  expect(await prune(db, RETENTION)).toMatchObject({ steps: 3 })
  expect(await countOf('processing_steps')).toBe(0)
  await reprocessMedia(db, { id: mediaId, ownerId: alice }, nothing)
  expect(await stepsDone(db, mediaId)).toEqual(
    new Map([
      ['assemble', { step: 'assemble' }],
      ['scan', { step: 'scan' }],
    ]),
  )
})

it('forgets records of steps batch by batch until none is left that is old enough', async () => {
  const { mediaId } = await receive()
  await publishMedia(db, mediaId)
  await sql`
    insert into landfall.processing_steps (media_id, step, attempt, status, finished_at)
    select ${mediaId}, 'thumbnail', i, 'failed', now() from generate_series(1, 2500) i`.execute(db)
  // Each has 25 of them: a batch is full of records, and names few media.
  for (let i = 0; i < 100; i++) {
    const one = await receive()
    await publishMedia(db, one.mediaId)
    await sql`
      insert into landfall.processing_steps (media_id, step, attempt, status, finished_at)
      select ${one.mediaId}, 'thumbnail', i, 'failed', now() from generate_series(1, 25) i`.execute(db)
  }
  await letPass(31)
  expect(await prune(db, RETENTION)).toMatchObject({ steps: 5000 })
  expect(await countOf('processing_steps')).toBe(0)
})

it('keeps next to nothing of an upload that ended, outside of any quota', async () => {
  const nothingLeft = { metadata: {}, metadata_header: null, state: 'terminated' }
  const empty = await terminated(0, { filename: 'ä.png' })
  const large = await terminated(1, LARGE)
  const small = await terminated(1, { filename: 'ä.png' })
  // Those that are told of an end are told what the upload was for.
  expect(await metadataOf(large)).toMatchObject({ metadata: LARGE, metadata_header: null })
  expect(await prune(db, RETENTION)).toMatchObject(NOTHING)
  expect(await metadataOf(empty)).toMatchObject({ metadata: { filename: 'ä.png' }, metadata_header: null })
  await letPass(1)
  expect(await prune(db, RETENTION)).toMatchObject(NOTHING)
  expect(await metadataOf(empty)).toMatchObject(nothingLeft)
  expect(await metadataOf(large)).toMatchObject(nothingLeft)
  expect(await metadataOf(small)).toMatchObject({ metadata: { filename: 'ä.png' } })
  await letPass(31)
  // A client that creates and deletes without end would fill the ledger for two years.
  expect(await prune(db, RETENTION)).toMatchObject({ stripped: 0, uploads: 1 })
  expect(await metadataOf(empty)).toBeUndefined()
  await letPass(335)
  expect(await prune(db, RETENTION)).toMatchObject({ stripped: 2, uploads: 0 })
  expect(await metadataOf(small)).toEqual({ ...nothingLeft, filename: null })
  await letPass(365)
  expect(await prune(db, RETENTION)).toMatchObject({ uploads: 2 })
  expect(await countOf('uploads')).toBe(0)
})

it('keeps what was said of an upload that ended until each webhook has it in its message', async () => {
  await sql`insert into landfall.webhook_endpoints (id, url) values ('e', 'https://example.org')`.execute(db)
  const id = await terminated(0, LARGE)
  await letPass(1)
  await prune(db, RETENTION)
  expect(await metadataOf(id)).toMatchObject({ metadata: LARGE })
  await sql`update landfall.webhook_deliveries set payload = '{}'`.execute(db)
  await prune(db, RETENTION)
  expect(await metadataOf(id)).toMatchObject({ metadata: {} })
})

it('keeps nothing of what was said of a media item that is purged, once that was told', async () => {
  await sql`insert into landfall.webhook_endpoints (id, url) values ('e', 'https://example.org')`.execute(db)
  const said = {
    attachedToType: 'post',
    attachedToId: '7',
    title: 'ä',
    description: 'ö',
    captions: 'de',
    own: 'ü',
  }
  const { id, mediaId } = await receive({ metadata: said, metadataHeader: 'as it was' })
  const mediaRow = () =>
    db.selectFrom('landfall.media').selectAll().where('id', '=', mediaId).executeTakeFirstOrThrow()
  const patch = { metadata: { more: 'x' } }
  await patchMedia(db, { ownerId: alice, id: mediaId }, patch, { keys: 10, bytes: 100 })
  await deleteMedia(db, alice, mediaId, nothing)
  await purgeMedia(db, [mediaId], nothing)
  await letPass(1)
  await prune(db, RETENTION)
  const described = { attachedTo: { type: 'post', id: '7' }, title: 'ä', description: 'ö', captions: ['de'] }
  expect(describeMedia(await mediaRow())).toEqual({ ...described, metadata: { own: 'ü', more: 'x' } })
  await sql`update landfall.webhook_deliveries set payload = '{}'`.execute(db)
  await prune(db, RETENTION)
  const nothingSaid = { attachedTo: null, title: null, description: null, captions: null, metadata: {} }
  expect(describeMedia(await mediaRow())).toEqual(nothingSaid)
  expect(await metadataOf(id)).toMatchObject({ metadata: {}, metadata_header: null })
})

it('forgets empty uploads that expired as well, and keeps what a delivery waits to tell of', async () => {
  await sql`insert into landfall.webhook_endpoints (id, url) values ('e', 'https://example.org')`.execute(db)
  const id = created(await createUpload(db, newUpload('alice'), UNLIMITED))
  await sql`update landfall.uploads set expires_at = now(), reap_after = now() where id = ${id}`.execute(db)
  expect(await expireUploads(db, [id], nothing)).toEqual([id])
  await letPass(800)
  expect(await prune(db, RETENTION)).toMatchObject({ uploads: 0 })
  await sql`update landfall.webhook_deliveries set status = 'delivered'`.execute(db)
  expect(await prune(db, RETENTION)).toMatchObject({ deliveries: 1, uploads: 1 })
})

it('forgets what is over behind more rejected media than fit into a batch that are still needed', async () => {
  const { id, mediaId } = await receive()
  await rejectMedia(db, mediaId, { code: 'bad', detail: 'bad' }, nothing)
  await sql`
    insert into landfall.uploads (id, owner_id, protocol, state, size, "offset", metadata, storage_backend, storage_key,
                                  reserved_bytes, expires_at, ended_at, is_bare, multipart_unsure)
    select lpad(i::text, 22, 's'), 'alice', 'tus-1.0', 'rejected', 1, 1, '{}', 'disk', 'uploads/' || i, 0, now(),
           now() - interval '1 day', true, true
      from generate_series(1, 1001) i`.execute(db)
  await sql`
    insert into landfall.media (id, upload_id, owner_id, size, status, storage_key, created_at)
    select id, id, 'alice', 1, 'rejected', storage_key, now() - interval '1 day'
      from landfall.uploads where id like 'ss%'`.execute(db)
  await letPass(366)
  expect(await prune(db, RETENTION)).toMatchObject({ media: 1 })
  expect(await metadataOf(id)).toBeUndefined()
  await sql`update landfall.uploads set multipart_unsure = false`.execute(db)
  expect(await prune(db, RETENTION)).toMatchObject({ media: 1001 })
})

it('finds rejected media and empty uploads by an index, among many that are over', async () => {
  await sql`
    insert into landfall.uploads (id, owner_id, protocol, state, size, "offset", metadata, storage_backend, storage_key,
                                  reserved_bytes, expires_at, ended_at, is_bare)
    select lpad(i::text, 22, 'u'), 'alice', 'tus-1.0', 'terminated', 1, 1, '{}', 'disk', 'uploads/' || i, 0, now(),
           now() - interval '400 days', true
      from generate_series(1, 20000) i`.execute(db)
  await sql`
    insert into landfall.media (id, upload_id, owner_id, size, status, storage_key, created_at)
    select id, id, 'alice', 1, 'ready', storage_key, now() - interval '400 days' from landfall.uploads`.execute(
    db,
  )
  await sql`analyze landfall.uploads, landfall.media`.execute(db)
  const explained = openExplained(connectionString)
  const planOf = async (prune: typeof pruneMedia) => {
    await prune(explained.db, 365 * DAY, 1000, 'remove-bytes')
    return explained
      .taken()
      .map(({ plan }) => plan)
      .join('\n')
  }
  try {
    const ofMedia = await planOf(pruneMedia)
    expect(ofMedia).toMatch(/using media_rejected|on media_rejected/)
    const ofEmpty = await planOf(pruneEmptyUploads)
    expect(ofEmpty).toMatch(/using uploads_ended_empty|on uploads_ended_empty/)
    expect(ofMedia + ofEmpty).not.toMatch(/Seq Scan on (uploads|media) .*actual rows=20000/)
  } finally {
    await explained.db.destroy()
  }
})

it('never forgets an event that others before it may still follow', async () => {
  await receive()
  expect(await pruneEvents(db, 1, 1000, 0)).toMatchObject({ pruned: 0 })
})

it('forgets media that were purged or rejected, with their uploads, but not before their bytes are gone', async () => {
  const purged = await receive()
  await deleteMedia(db, alice, purged.mediaId, nothing)
  await purgeMedia(db, [purged.mediaId], nothing)
  const rejected = await receive()
  await rejectMedia(db, rejected.mediaId, { code: 'bad', detail: 'bad' }, nothing)
  const boss = await openQueues({ db, supervise: false, onError: () => {} })
  await boss.createQueue('remove-bytes')
  await boss.send('remove-bytes', { uploadId: purged.id })
  await letPass(366)
  expect(await prune(db, RETENTION)).toMatchObject({ stripped: 1, media: 1 })
  await boss.deleteQueuedJobs('remove-bytes')
  await boss.stop({ close: false, graceful: false })
  expect(await prune(db, RETENTION)).toMatchObject({ media: 1 })
  for (const table of ['media', 'uploads', 'processing_steps']) expect(await countOf(table)).toBe(0)
})

it('learns of ends that another release did not note', async () => {
  const id = await terminated(0, {})
  await sql`update landfall.uploads set ended_at = null, is_bare = false, updated_at = now() - interval '400 days' where id = ${id}`.execute(
    db,
  )
  expect(await prune(db, RETENTION)).toMatchObject({ stripped: 1 })
})
