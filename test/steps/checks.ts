import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { sql } from 'kysely'
import { expect } from 'vitest'
import { QUEUES } from '../../jobs/queues.ts'
import { STEPS } from '../../processing/pipeline.ts'
import { asOwnerId, asUploadId } from '../support/ids.ts'
import { filesBelow } from '../support/leftovers.ts'
import { DROPPABLE } from './endings.ts'
import type { FileKind } from './files.ts'
import { type Model, portraitOf } from './portrait.ts'
import { OWNER, type Stage } from './stage.ts'

/** Of every file; more of some. */
const EVENTS = ['upload.created', 'upload.received', 'analysis.finished', 'media.ready']

/** Everything that was sent has become what it becomes where nobody disturbs the workers, once, and nothing is beside it. */
export async function expectAllWell(stage: Stage, models: Record<FileKind, Model>): Promise<void> {
  await expectAsModels(stage, models)
  expectToldOnce(stage, models)
  expectAskedOnce(stage)
  await expectStepsOnce(stage)
  await expectNoDeadJobs(stage)
  await expectNothingElseStored(stage)
}

async function expectAsModels(stage: Stage, models: Record<FileKind, Model>): Promise<void> {
  for (const { uploadId, filename, kind } of stage.sent) {
    const { stepMs: _, ...model } = models[kind]
    const { facts, events } = model
    expect(await portraitOf(stage, uploadId), filename).toEqual(model)
    expect(events, filename).toEqual(kind === 'image' ? EVENTS : [...EVENTS, 'hls.finished'])
    expect(facts, filename).toMatchObject({
      status: 'ready',
      sha256: stage.files[kind].sha256,
      storedAs: stage.files[kind].sha256,
    })
  }
  const { count } = await stage.landfall.db
    .selectFrom('landfall.media')
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow()
  expect(count, 'media').toBe(stage.sent.length)
}

/** The receiver checks the signatures itself. A message may come again, under its id and in its turn. */
function expectToldOnce({ receiver, sent }: Stage, models: Record<FileKind, Model>): void {
  const received = Map.groupBy(receiver.received, ({ uploadId }) => uploadId)
  for (const { uploadId, filename, kind } of sent) {
    const messages = received.get(uploadId) ?? []
    const turns = messages.filter(({ id }, index) => id !== messages[index - 1]?.id)
    const told = models[kind].events.filter((type) => type !== 'upload.created')
    expect(
      turns.map(({ type }) => type),
      `webhooks of ${filename}`,
    ).toEqual(told)
    expect(new Set(turns.map(({ id }) => id)).size, `ids of ${filename}`).toBe(told.length)
    // A sender that was killed has not noted what it sent: the facts beside the event may be later ones.
    const tellings = messages.map(({ id, type, timestamp }) => `${id} ${type} ${timestamp}`)
    expect(new Set(tellings).size, `events told of ${filename}`).toBe(told.length)
  }
  expect(received.size, 'uploads that were told of').toBe(sent.length)
}

/** The engine may be asked again, but not as if it were for the first time. */
function expectAskedOnce({ engine, sent }: Stage): void {
  const asked = Map.groupBy(engine.asked, ({ mediaId }) => mediaId)
  const ids = [...asked.values()].map((requests) => new Set(requests.map(({ id }) => id)).size)
  expect(ids, 'analyses that were asked for').toEqual(sent.map(() => 1))
}

/**
 * Every step is done once. A killed worker leaves the record of its attempt as it was, for good: nobody can know what
 * became of it. So does one that could not reach the database. Every other attempt says how it ended.
 */
async function expectStepsOnce({ landfall, sent }: Stage): Promise<void> {
  const rows = await landfall.db
    .selectFrom('landfall.processing_steps as processing_steps')
    .innerJoin('landfall.media as media', 'media.id', 'processing_steps.media_id')
    .select(['media.upload_id', 'step', 'processing_steps.status'])
    .execute()
  const records = Map.groupBy(rows, ({ upload_id }) => upload_id)
  const names = STEPS.map(({ name }) => name).toSorted()
  for (const { uploadId, filename } of sent) {
    const done = records.get(asUploadId(uploadId))?.filter(({ status }) => status === 'done')
    expect(done?.map(({ step }) => step).toSorted(), `steps done of ${filename}`).toEqual(names)
  }
  expect(rows.filter(({ status }) => status === 'rejected')).toEqual([])
}

async function expectNoDeadJobs({ landfall }: Stage): Promise<void> {
  const { rows } = await sql`
    select name, state, data, output from pgboss.job
     where name = ${QUEUES.dead} or (state in ('failed', 'cancelled') and not name = any(${DROPPABLE}))`.execute(
    landfall.db,
  )
  expect(rows, 'dead jobs').toEqual([])
  const failed = await landfall.db
    .selectFrom('landfall.webhook_deliveries')
    .select(['id', 'last_error'])
    .where('status', '<>', 'delivered')
    .execute()
  expect(failed, 'webhooks that were not delivered').toEqual([])
}

/** Neither in the storage nor beside it: no object, no multipart upload, no file in the making. */
async function expectNothingElseStored({ landfall }: Stage): Promise<void> {
  const { db, stored, dataDirectory } = landfall
  const media = await db.selectFrom('landfall.media').select('storage_key').execute()
  const renditions = await db.selectFrom('landfall.renditions').select('storage_key').execute()
  const named = [...media, ...renditions].map(({ storage_key }) => storage_key).toSorted()
  expect(await stored.keys(), 'objects').toEqual(named)
  expect(await stored.openMultiparts(), 'open multipart uploads').toEqual([])
  // Objects on disk are looked at above; in the room of scratch folders there is not even an empty one.
  const beside = (await filesBelow(dataDirectory)).filter((path) => !path.startsWith('objects/'))
  expect([...beside, ...(await namesIn(join(dataDirectory, 'scratch')))], 'beside the storage').toEqual([])
  const usage = await db
    .selectFrom('landfall.quota_usage')
    .selectAll()
    .where('owner_id', '=', asOwnerId(OWNER))
    .execute()
  const bytes = await db
    .selectFrom('landfall.media')
    .select(db.fn.sum<number>('size').as('bytes'))
    .executeTakeFirst()
  expect(usage).toMatchObject([
    { used_bytes: Number(bytes?.bytes), reserved_bytes: 0, open_uploads: 0, finished_uploads: media.length },
  ])
}

/** None of a directory that is not there. */
async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}
