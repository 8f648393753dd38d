import fc from 'fast-check'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { backfill } from '../migrations/0018-descriptions.ts'
import { freshDatabase } from '../test/support/landfall.ts'
import { openLedger } from '../test/support/ledger.ts'
import type { Ledger } from './database.ts'
import { describeMedia, describeUpload, type Metadata, NON_VALUES } from './description.ts'
import { type MediaId, newMediaId, newUploadId, type OwnerId } from './ids.ts'
import { patchMedia } from './media-patch.ts'
import { READ_KEYS } from './metadata-keys.ts'
import { onlyRow } from './rows.ts'

let db: Ledger
beforeAll(async () => {
  db = openLedger(await freshDatabase())
})
afterAll(() => db.destroy())

/** As the ledger describes the media item of an upload with this metadata. */
const inSql = async (metadata: Metadata) =>
  describeMedia(
    await onlyRow<Parameters<typeof describeMedia>[0]>(db)`
      select * from landfall.described(${JSON.stringify(metadata)}::jsonb)`,
  )

/** As the ledger holds it. */
const text = fc
  .string({ unit: 'binary', maxLength: 40 })
  .map((value) => value.replaceAll('\0', '').toWellFormed())
const key = fc.oneof(
  fc.constantFrom(...Object.keys(READ_KEYS), 'constructor', 'toString', 'hasOwnProperty', '1', 'postId'),
  fc.stringMatching(/^[\x21-\x2b\x2d-\x7e]{1,20}$/).filter((name) => name !== '__proto__'),
)
const value = fc.oneof(
  text,
  fc.constantFrom(null, ...NON_VALUES, 'course', 'Course', 'a'.repeat(65), 'x'.repeat(255), '🎬'.repeat(256)),
  fc.constantFrom('de', 'de,pt-BR', ' de , en ', 'd e', 'de;en', ',', 'de,', Array(65).fill('de').join(',')),
)

describe('the description of a media item', () => {
  it('is that of its upload, for any metadata', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(key, value), { maxLength: 12 }), async (pairs) => {
        const metadata = Object.fromEntries(pairs)
        expect(await inSql(metadata)).toEqual(describeUpload(metadata))
      }),
      { numRuns: 500 },
    )
  })

  it('has every key that is not read, and no other', async () => {
    const read = Object.fromEntries(Object.keys(READ_KEYS).map((name) => [name, 'x']))
    const own = { postId: '42', constructor: 'mine', empty: '', none: null }
    expect((await inSql({ ...read, ...own })).metadata).toEqual(own)
    expect(describeUpload({ ...read, ...own }).metadata).toEqual(own)
  })

  const SAID = { attachedToType: 'post', attachedToId: '7', title: 'Über', captions: 'de, en', own: 'ä' }
  const DESCRIBED = {
    attachedTo: { type: 'post', id: '7' },
    title: 'Über',
    description: null,
    captions: ['de', 'en'],
    metadata: { own: 'ä' },
  }

  /** A media item as an earlier release makes it. */
  async function madeEarlier(metadata: Metadata) {
    const [id, mediaId] = [newUploadId(), newMediaId()]
    await sql`
      insert into landfall.uploads (id, owner_id, protocol, state, size, metadata, storage_backend, storage_key, reserved_bytes, expires_at)
      values (${id}, 'alice', 'tus-1.0', 'open', 1, ${JSON.stringify(metadata)}::jsonb, 'disk', ${`uploads/${id}`}, 1, now())`.execute(
      db,
    )
    await sql`
      insert into landfall.media (id, upload_id, owner_id, size, status, storage_key)
      values (${mediaId}, ${id}, 'alice', 1, 'processing', ${`uploads/${id}`})`.execute(db)
    return mediaId
  }

  const mediaRow = (id: MediaId) =>
    db.selectFrom('landfall.media').selectAll().where('id', '=', id).executeTakeFirstOrThrow()

  it('is made by the ledger where an earlier release makes the media item', async () => {
    expect(describeMedia(await mediaRow(await madeEarlier(SAID)))).toEqual(DESCRIBED)
  })

  it('is given to media items that were there before it, where anything was said of them', async () => {
    const [said, silent, changed] = [
      await madeEarlier(SAID),
      await madeEarlier({ name: 'a.mp4' }),
      await madeEarlier(SAID),
    ]
    // As they were before the migration.
    await sql`
      update landfall.media set attached_type = null, attached_id = null, title = null, told_captions = null, metadata = null
       where id = any(${[said, silent, changed]}::text[])`.execute(db)
    await patchMedia(
      db,
      { ownerId: 'alice' as OwnerId, id: changed },
      { title: null },
      { keys: 64, bytes: 8192 },
    )
    for (let after: string | undefined = ''; after !== undefined; ) after = await backfill(db, after)
    expect(describeMedia(await mediaRow(said))).toEqual(DESCRIBED)
    expect(describeMedia(await mediaRow(changed))).toEqual({ ...DESCRIBED, title: null })
    // Nothing is written where nothing was said.
    expect(await mediaRow(silent)).toMatchObject({ metadata: null, title: null })
  })
})
