import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { asOwnerId } from './support/ids.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { create, idOf } from './support/tus.ts'

type Refusal = { code: string; detail: string; allowed?: string[]; maxSize?: number; minSize?: number }

const MAX = 50_000
const MIN = 2000

describe('a creation', () => {
  let landfall: Landfall

  beforeAll(async () => {
    landfall = await startLandfall({
      withoutWorker: true,
      env: {
        UPLOAD_ALLOWED_TYPES: 'video/mp4,video/webm,image/jpeg,audio/mpeg',
        UPLOAD_MAX_SIZE: String(MAX),
        UPLOAD_MIN_SIZE: String(MIN),
        UPLOAD_MAX_OPEN: '1000',
      },
    })
  })
  afterAll(() => landfall?.close())

  const creation = (metadata: Record<string, string>, size = 10_000) =>
    create(landfall, 'alice', { size, metadata })

  it.each<[string, Record<string, string>]>([
    ['with nothing said about the file', {}],
    ['with a name alone', { filename: 'clip.mp4' }],
    ['with a name in capitals', { filename: 'CLIP.MP4' }],
    ['with a type alone', { filetype: 'video/mp4' }],
    ['with another name of the type', { filetype: 'video/x-m4v' }],
    ['with a type with parameters', { filetype: 'video/mp4; codecs="avc1.42E01E"' }],
    ['with both', { filename: 'photo.jpeg', filetype: 'image/jpeg' }],
    ['with two types of one kind, which phones do', { filename: 'clip.webm', filetype: 'video/mp4' }],
    ['with a name without extension', { filename: 'clip', filetype: 'video/mp4' }],
    ['with a name that begins with a dot', { filename: '.mp4' }],
    ['with a type that means any', { filename: 'clip.mp4', filetype: 'application/octet-stream' }],
    [
      'by Uppy',
      { relativePath: 'null', name: 'a.mp4', filename: 'a.mp4', type: 'video/mp4', filetype: 'video/mp4' },
    ],
    ['with a path for a name', { filename: '../../clip.mp4' }],
    ...['jfif', 'jpe', '3gp', '3g2', 'f4v'].map((extension): [string, Record<string, string>] => [
      `with the extension ${extension}`,
      { filename: `file.${extension}` },
    ]),
    ['with points in its name', { filename: 'Screenshot 2024-01-01 at 10.00.00', filetype: 'image/jpeg' }],
    ['with a year for an extension', { filename: 'My.Movie.2020' }],
    ['with the extension of another picture', { filename: 'photo.png', filetype: 'image/jpeg' }],
    ['with a type for any bytes', { filename: 'clip.mp4', filetype: 'binary/octet-stream' }],
    ['with a type that nobody knows', { filename: 'clip.mp4', filetype: 'video/x-new' }],
    ['with the type of a sound', { filename: 'clip.mp4', filetype: 'audio/mp4' }],
    ['with the name of a sound and the type of a video', { filename: 'a.mp3', filetype: 'video/mp4' }],
  ])('%s is accepted', async (_what, metadata) => {
    expect((await creation(metadata)).status).toBe(201)
  })

  it.each<[string, Record<string, string>, RegExp]>([
    ['an extension of programs', { filename: 'virus.exe' }, /"\.exe"/],
    ['an extension of documents', { filename: 'letter.pdf' }, /"\.pdf"/],
    ['an extension known but not allowed', { filename: 'photo.png' }, /"\.png"/],
    [
      'an extension not allowed and a type that is',
      { filename: 'virus.exe', filetype: 'video/mp4' },
      /"\.exe"/,
    ],
    ['two extensions, the last of which counts', { filename: 'clip.mp4.exe' }, /"\.exe"/],
    ['an extension behind a path', { filename: 'clips.mp4/virus.exe' }, /"\.exe"/],
    ['an extension behind a direction override', { filename: 'clip\u202E4pm.exe' }, /"\.exe"/],
    ['an extension behind a NUL-like character', { filename: 'clip.mp4\u0001.exe' }, /"\.exe"/],
    ['a type not allowed', { filetype: 'image/png' }, /declared type image\/png/],
    ['a type of documents', { filetype: 'text/html; charset=utf-8' }, /declared type text\/html is/],
    ['a type of pictures with scripts', { filetype: 'image/svg+xml' }, /declared type image\/svg\+xml/],
    [
      'a name allowed and a type that is not',
      { filename: 'clip.mp4', filetype: 'text/html' },
      /declared type/,
    ],
    [
      'two kinds',
      { filename: 'clip.mp4', filetype: 'image/jpeg' },
      /"\.mp4" and the declared type image\/jpeg/,
    ],
    [
      'two kinds, the other way round',
      { filename: 'a.jpg', filetype: 'video/mp4' },
      /"\.jpg" and the declared type/,
    ],
  ])('with %s is refused', async (_what, metadata, detail) => {
    const response = await creation(metadata)
    expect(response.status).toBe(415)
    const refusal = (await response.json()) as Refusal
    expect(refusal).toMatchObject({ code: 'type-not-allowed', detail: expect.stringMatching(detail) })
    expect(refusal.allowed).toEqual(['video/mp4', 'video/webm', 'image/jpeg', 'audio/mpeg'])
  })

  it.each<[number, number, Partial<Refusal>]>([
    [MAX + 1, 413, { code: 'too-large', maxSize: MAX }],
    [Number.MAX_SAFE_INTEGER, 413, { code: 'too-large', maxSize: MAX }],
    [MIN - 1, 400, { code: 'too-small', minSize: MIN }],
    [0, 400, { code: 'too-small', minSize: MIN }],
  ])('of %i bytes is answered %i, with the limit', async (size, status, refusal) => {
    const response = await creation({ filename: 'clip.mp4' }, size)
    expect(response.status).toBe(status)
    expect(await response.json()).toMatchObject(refusal)
  })

  it.each([MIN, MAX])('of %i bytes, exactly at a limit, is accepted', async (size) => {
    expect((await creation({ filename: 'clip.mp4' }, size)).status).toBe(201)
  })

  it.each<[string, Record<string, string>]>([
    ['a NUL in its metadata', { filename: 'clip.mp4', note: 'a\0b' }],
    ['a value that is too long', { note: 'a'.repeat(4097) }],
    ['too many entries', Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`key${i}`, 'x']))],
  ])('with %s is refused', async (_what, metadata) => {
    const response = await creation(metadata)
    expect([response.status, ((await response.json()) as Refusal).code]).toEqual([400, 'invalid-metadata'])
  })

  it('keeps the name for display, and every entry as it was sent', async () => {
    const metadata = { filename: '..\\up/gpj.\u202Emp4', note: 'Übung 🎬', empty: '' }
    const id = idOf(await creation(metadata))
    const row = await landfall.db
      .selectFrom('landfall.uploads')
      .select(['filename', 'declared_type', 'metadata', 'storage_key', 'owner_id'])
      .where('id', '=', id)
      .executeTakeFirstOrThrow()
    expect(row).toEqual({
      filename: 'gpj.mp4',
      declared_type: null,
      metadata: {
        filename: metadata.filename,
        note: metadata.note,
        empty: expect.toSatisfy((value) => !value),
      },
      storage_key: `uploads/${id}`,
      owner_id: 'alice',
    })
  })

  it('that is refused takes no quota and leaves no trace', async () => {
    const refused = [
      await create(landfall, 'bob', { size: 10_000, metadata: { filename: 'virus.exe' } }),
      await create(landfall, 'bob', { size: MAX + 1 }),
      await create(landfall, 'bob', { size: 10_000, metadata: { note: '\0' } }),
    ]
    expect(refused.map((response) => response.status)).toEqual([415, 413, 400])
    for (const table of ['landfall.uploads', 'landfall.quota_usage', 'landfall.events'] as const) {
      expect(
        await landfall.db.selectFrom(table).selectAll().where('owner_id', '=', asOwnerId('bob')).execute(),
      ).toEqual([])
    }
  })
})
