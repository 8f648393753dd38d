import { createHash } from 'node:crypto'
import { asMediaId, asUploadId } from '../support/ids.ts'
import { untilEnded } from './endings.ts'
import type { FileKind } from './files.ts'
import type { Sent, Stage } from './stage.ts'

/** What has become of a file, without what is its own: equal for all files of the same bytes. */
export type Portrait = {
  facts: Record<string, unknown>
  renditions: unknown[]
  /** Types of its events, in their order. */
  events: string[]
}

/** A kind of file as it becomes when nobody disturbs the workers. */
export type Model = Portrait & {
  /** How long each step took that had something to do. */
  stepMs: ReadonlyMap<string, number>
}

/** Of the columns of a media, those that differ from one file to the next; an etag tells of the parts it came in. */
const OWN_COLUMNS = ['id', 'upload_id', 'filename', 'storage_key', 'etag', 'created_at', 'ready_at']
const OWN_OF_ANALYSIS = { requestedAt: 'then', finishedAt: 'then' }

/** Sends one file of each kind and waits until all is done. */
export async function drawModels(stage: Stage): Promise<Record<FileKind, Model>> {
  const sent: Sent[] = []
  for (const kind of Object.keys(stage.files) as FileKind[])
    sent.push(await stage.send(kind, `model of ${kind}`))
  await untilEnded(stage, sent)
  const models = await Promise.all(
    sent.map(async ({ kind, uploadId }) => {
      const media = await mediaOf(stage, uploadId)
      return [kind, { ...(await portraitOf(stage, uploadId)), stepMs: await durations(stage, media.id) }]
    }),
  )
  return Object.fromEntries(models)
}

/** With a digest of every object that is named. */
export async function portraitOf(stage: Stage, uploadId: string): Promise<Portrait> {
  const { db, stored } = stage.landfall
  const media = await mediaOf(stage, uploadId)
  const renditions = await db
    .selectFrom('landfall.renditions')
    .selectAll()
    .where('media_id', '=', media.id)
    .orderBy('kind')
    .execute()
  const events = await db
    .selectFrom('landfall.events')
    .select('type')
    .where('upload_id', '=', asUploadId(uploadId))
    .orderBy('id')
    .execute()
  const digest = async (key: string) =>
    createHash('sha256')
      .update(await stored.bytes(key))
      .digest('hex')
  return {
    facts: {
      ...Object.fromEntries(Object.entries(media).filter(([column]) => !OWN_COLUMNS.includes(column))),
      analysis: { ...media.analysis, ...OWN_OF_ANALYSIS },
      storedAs: await digest(media.storage_key),
    },
    renditions: await Promise.all(
      renditions.map(async ({ media_id, storage_key, ...rendition }) => ({
        ...rendition,
        key: storage_key.replaceAll(media_id, 'ID'),
        storedAs: await digest(storage_key),
      })),
    ),
    events: events.map(({ type }) => type),
  }
}

async function mediaOf({ landfall }: Stage, uploadId: string) {
  return await landfall.db
    .selectFrom('landfall.media')
    .selectAll()
    .where('upload_id', '=', asUploadId(uploadId))
    .executeTakeFirstOrThrow()
}

async function durations({ landfall }: Stage, mediaId: string): Promise<Map<string, number>> {
  const rows = await landfall.db
    .selectFrom('landfall.processing_steps')
    .select(['step', 'started_at', 'finished_at', 'detail'])
    .where('media_id', '=', asMediaId(mediaId))
    .where('status', '=', 'done')
    .execute()
  return new Map(
    rows
      .filter(({ detail }) => !('skipped' in (detail ?? {})))
      .map(({ step, started_at, finished_at }) => [
        step,
        (finished_at?.getTime() ?? 0) - started_at.getTime(),
      ]),
  )
}
