import { sql } from 'kysely'
import { expect } from 'vitest'
import type { Ledger } from '../../ledger/database.ts'
import { asOwnerId } from '../support/ids.ts'
import { countedUsage } from '../support/quota.ts'
import type { ServerProcess } from '../support/server-process.ts'
import type { Stored } from '../support/stored.ts'
import { outcome } from '../support/uploads.ts'
import type { PlannedUpload } from './plan.ts'
import type { StoredSizes } from './storage.ts'

export type SentUpload = PlannedUpload & { uploadId: string }

/** Waits until every file is ready, and holds what the server stores and serves against what was sent. */
export async function expectServedAsSent(
  server: ServerProcess,
  stored: Stored,
  sent: readonly SentUpload[],
): Promise<void> {
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
    expect((await stored.bytes(`uploads/${uploadId}`)).equals(bytes), `object of ${name}`).toBe(true)
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
    .selectFrom('landfall.uploads')
    .select(['id', 'owner_id', 'filename', 'size', 'offset', 'state'])
    .where('owner_id', 'in', owners.map(asOwnerId))
    .execute()
  expect(inOrder(uploads)).toEqual(
    inOrder(expected.map((upload) => ({ ...upload, offset: upload.size, state: 'received' }))),
  )

  const media = await ledger
    .selectFrom('landfall.media')
    .select(['upload_id as id', 'owner_id', 'filename', 'size', 'status'])
    .where('owner_id', 'in', owners.map(asOwnerId))
    .execute()
  expect(inOrder(media)).toEqual(inOrder(expected.map((upload) => ({ ...upload, status: 'ready' }))))

  const events = await ledger
    .selectFrom('landfall.events')
    .select(['upload_id', 'type'])
    .where('owner_id', 'in', owners.map(asOwnerId))
    .orderBy('id')
    .execute()
  for (const { uploadId, name } of sent) {
    const types = events.filter((event) => event.upload_id === uploadId).map((event) => event.type)
    expect(types, `events of ${name}`).toEqual(['upload.created', 'upload.received', 'media.ready'])
  }
  expect(events).toHaveLength(3 * sent.length)

  const usage = await countedUsage(ledger, owners)
  const expectedUsage = owners.map((owner) => {
    const own = sent.filter((upload) => upload.owner === owner)
    return {
      owner_id: owner,
      used_bytes: own.reduce((sum, { bytes }) => sum + bytes.length, 0),
      reserved_bytes: 0,
      open_uploads: 0,
      open_partials: 0,
      finished_uploads: own.length,
    }
  })
  expect(usage).toHaveLength(owners.length)
  expect(usage).toEqual(expect.arrayContaining(expectedUsage))
}

/**
 * The ledger has each file of a form once, received and ready. What a kill has cut off was ended by its client: it holds no
 * quota, and nothing of it is stored.
 */
export async function expectLedgerOfForms(
  ledger: Ledger,
  stored: StoredSizes,
  forms: readonly SentUpload[],
): Promise<void> {
  const owners = [...new Set(forms.map(({ owner }) => owner))]
  if (owners.length === 0) return
  const uploads = await ledger
    .selectFrom('landfall.uploads')
    .select(['id', 'filename', 'state', 'size', 'offset'])
    .where('owner_id', 'in', owners.map(asOwnerId))
    .execute()
  const [whole, cutOff] = [
    uploads.filter(({ state }) => state === 'received'),
    uploads.filter(({ state }) => state !== 'received'),
  ]
  expect(inOrder(whole)).toEqual(
    inOrder(
      forms.map(({ uploadId: id, name, bytes }) => {
        const size = bytes.length
        return { id, filename: name, state: 'received' as const, size, offset: size }
      }),
    ),
  )
  // Those that failed while the server was there were withdrawn by it.
  expect(cutOff.filter(({ state }) => state !== 'terminated')).toEqual([])
  const media = await ledger
    .selectFrom('landfall.media')
    .select(['upload_id as id', 'status'])
    .where('owner_id', 'in', owners.map(asOwnerId))
    .execute()
  expect(inOrder(media)).toEqual(inOrder(whole.map(({ id }) => ({ id, status: 'ready' as const }))))
  const usage = await countedUsage(ledger, owners)
  expect(usage).toEqual(
    owners.map((owner_id) => {
      const own = forms.filter(({ owner }) => owner === owner_id)
      return {
        owner_id,
        used_bytes: own.reduce((sum, { bytes }) => sum + bytes.length, 0),
        reserved_bytes: 0,
        open_uploads: 0,
        open_partials: 0,
        finished_uploads: own.length,
      }
    }),
  )
  const isCutOff = (key: string) => cutOff.some(({ id }) => key.includes(id))
  await expect
    .poll(async () => (await stored.keys()).filter(isCutOff), { timeout: 30_000, interval: 100 })
    .toEqual([])
  await expect
    .poll(async () => (await stored.openMultiparts()).filter(isCutOff), { timeout: 30_000, interval: 100 })
    .toEqual([])
}

/** After all rounds so far: no upload and no media but those, and none of what they were made of. */
export async function expectNothingElse(ledger: Ledger, sizes: ReadonlyMap<string, number>): Promise<void> {
  const expected = [
    ['landfall.uploads', sizes.size],
    ['landfall.media', sizes.size],
    ['landfall.upload_locks', 0],
  ] as const
  for (const [table, rows] of expected) {
    const { count } = await ledger
      .selectFrom(table)
      .select((eb) => eb.fn.countAll<number>().as('count'))
      // What was cut off of a form is looked at by `expectLedgerOfForms`.
      .$if(table === 'landfall.uploads', (query) =>
        query.where(sql<boolean>`not (protocol = 'simple' and state = 'terminated')`),
      )
      .executeTakeFirstOrThrow()
    expect(count, table).toBe(rows)
  }
  // Those that were dropped are to be removed once more, in case a call for one was still under way.
  const tails = await ledger
    .selectFrom('landfall.upload_tails')
    .selectAll()
    .where('dropped_at', 'is', null)
    .execute()
  expect(tails, 'tails').toEqual([])
  const multiparts = await ledger
    .selectFrom('landfall.uploads')
    .select('id')
    .where('multipart_id', 'is not', null)
    .execute()
  expect(multiparts, 'uploads with a multipart upload').toEqual([])
}

/**
 * After all rounds so far: every media has its object and its renditions, and still has them when an interrupted worker
 * is done with it as well; beside them nothing is stored, and no multipart upload is open.
 */
export async function expectNothingElseStored(
  ledger: Ledger,
  stored: StoredSizes,
  sizes: ReadonlyMap<string, number>,
): Promise<void> {
  const renditions = await ledger
    .selectFrom('landfall.renditions')
    .select(['kind', 'storage_key', 'size'])
    .execute()
  const thumbnails = renditions.filter(({ kind }) => kind === 'thumbnail')
  expect(thumbnails, 'thumbnails in the ledger').toHaveLength(sizes.size)
  const expected = new Map([
    ...[...sizes].map(([id, size]): [string, number] => [`uploads/${id}`, size]),
    ...renditions.map(({ storage_key, size }): [string, number] => [storage_key, size]),
  ])
  const objects = [...(await stored.sizes())].filter(([key]) => !isHalfWritten(key))
  expect(Object.fromEntries(objects)).toEqual(Object.fromEntries(expected))
  expect(await stored.openMultiparts(), 'open multipart uploads').toEqual([])
}

/** What a worker killed in mid-write leaves on disk goes when its media does. */
const isHalfWritten = (key: string): boolean => /^renditions\/.*\.tmp$/.test(key)

function inOrder<T extends { id: string }>(rows: readonly T[]): T[] {
  return rows.toSorted((a, b) => a.id.localeCompare(b.id))
}
