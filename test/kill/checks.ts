import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'vitest'
import type { Ledger } from '../../ledger/database.ts'
import type { ServerProcess } from '../support/server-process.ts'
import { outcome } from '../support/uploads.ts'
import type { PlannedUpload } from './plan.ts'

export type SentUpload = PlannedUpload & { uploadId: string }

/** Waits until every file is ready, and holds what the server serves against what was sent. */
export async function expectServedAsSent(server: ServerProcess, sent: readonly SentUpload[]): Promise<void> {
  for (const { owner, uploadId, name, bytes, sha256 } of sent) {
    const media = await outcome(server, owner, uploadId)
    expect(media, name).toMatchObject({
      uploadId,
      filename: name,
      status: 'ready',
      size: bytes.length,
      sha256,
    })
    const content = await server.as(owner)(`/api/v1/media/${media.id}/content`)
    expect(content.status, name).toBe(200)
    expect(Buffer.from(await content.arrayBuffer()).equals(bytes), `content of ${name}`).toBe(true)
    const thumbnail = await server.as(owner)(`/api/v1/media/${media.id}/thumbnail`)
    expect(thumbnail.status, `thumbnail of ${name}`).toBe(200)
    await thumbnail.arrayBuffer()
  }
}

/** The ledger knows each upload once, as received and ready, and nothing beside them. */
export async function expectLedgerOf(ledger: Ledger, sent: readonly SentUpload[]): Promise<void> {
  const owners = [...new Set(sent.map(({ owner }) => owner))]
  const expected = sent.map(({ uploadId, owner, name, bytes }) => ({
    id: uploadId,
    owner_id: owner,
    filename: name,
    size: bytes.length,
  }))
  const uploads = await ledger
    .selectFrom('uploads')
    .select(['id', 'owner_id', 'filename', 'size', 'offset', 'state'])
    .where('owner_id', 'in', owners)
    .execute()
  expect(inOrder(uploads)).toEqual(
    inOrder(expected.map((upload) => ({ ...upload, offset: upload.size, state: 'received' }))),
  )

  const media = await ledger
    .selectFrom('media')
    .select(['upload_id as id', 'owner_id', 'filename', 'size', 'status'])
    .where('owner_id', 'in', owners)
    .execute()
  expect(inOrder(media)).toEqual(inOrder(expected.map((upload) => ({ ...upload, status: 'ready' }))))

  const events = await ledger
    .selectFrom('events')
    .select(['upload_id', 'type'])
    .where('owner_id', 'in', owners)
    .orderBy('id')
    .execute()
  for (const { uploadId, name } of sent) {
    const types = events.filter((event) => event.upload_id === uploadId).map((event) => event.type)
    expect(types, `events of ${name}`).toEqual(['upload.created', 'upload.received', 'media.ready'])
  }
  expect(events).toHaveLength(3 * sent.length)

  const usage = await ledger.selectFrom('quota_usage').selectAll().where('owner_id', 'in', owners).execute()
  const expectedUsage = owners.map((owner) => {
    const own = sent.filter((upload) => upload.owner === owner)
    return {
      owner_id: owner,
      used_bytes: own.reduce((sum, { bytes }) => sum + bytes.length, 0),
      reserved_bytes: 0,
      open_uploads: 0,
      finished_uploads: own.length,
    }
  })
  expect(usage).toHaveLength(owners.length)
  expect(usage).toEqual(expect.arrayContaining(expectedUsage))
}

/** After all rounds so far: no upload, no media and no file but those. */
export async function expectNothingElse(
  ledger: Ledger,
  dataDirectory: string,
  sizes: ReadonlyMap<string, number>,
): Promise<void> {
  for (const table of ['uploads', 'media'] as const) {
    const { count } = await ledger
      .selectFrom(table)
      .select((eb) => eb.fn.countAll<number>().as('count'))
      .executeTakeFirstOrThrow()
    expect(count, table).toBe(sizes.size)
  }
  const directory = join(dataDirectory, 'objects', 'uploads')
  const files = await Promise.all(
    (await readdir(directory)).map(
      async (name): Promise<[string, number]> => [name, (await stat(join(directory, name))).size],
    ),
  )
  expect(Object.fromEntries(files)).toEqual(Object.fromEntries(sizes))
}

/** Every media has its thumbnail, and still has it when an interrupted worker is done with it as well. */
export async function expectThumbnails(ledger: Ledger, dataDirectory: string): Promise<void> {
  const rows = await ledger
    .selectFrom('media')
    .leftJoin('renditions', 'renditions.media_id', 'media.id')
    .select(['media.filename', 'renditions.storage_key', 'renditions.size'])
    .execute()
  for (const { filename, storage_key, size } of rows) {
    const file = await stat(join(dataDirectory, 'objects', storage_key ?? 'missing')).catch(() => undefined)
    expect(file?.size, `size of the thumbnail of ${filename}`).toBe(size)
  }
}

function inOrder<T extends { id: string }>(rows: readonly T[]): T[] {
  return rows.toSorted((a, b) => a.id.localeCompare(b.id))
}
