import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'kysely'
import { afterEach, describe, expect, it } from 'vitest'
import { jpeg, shortVideo } from './fixtures/media.ts'
import { requires } from './services/requirements.ts'
import { type Bucket, freshBucket } from './support/bucket.ts'
import { runCommand } from './support/command.ts'
import { type Landfall, type LandfallOptions, SECRET, startLandfall } from './support/landfall.ts'
import { patterned, sha256Of } from './support/s3-landfall.ts'
import { storedInBucket, storedOnDisk } from './support/stored.ts'
import { create, createId, head, idOf, patch, terminate } from './support/tus.ts'
import { outcome, process } from './support/uploads.ts'

const ceph = requires('ceph')
const ffmpeg = requires('ffmpeg')
const AS_JPEG = { metadata: { filename: 'a.jpg', filetype: 'image/jpeg' } }
const ENV = { SCAN: 'off', HLS: 'on', HLS_HEIGHTS: '240', PUBLISH: 'copy', MEDIA_RETENTION: '1s' }

const undo: (() => unknown)[] = []
afterEach(async () => {
  for (const release of undo.splice(0).reverse()) await release()
})

async function start(options: LandfallOptions): Promise<Landfall> {
  const landfall = await startLandfall({ ...options, env: { ...ENV, ...options.env } })
  undo.push(() => landfall.close())
  return landfall
}
async function aBucket(): Promise<Bucket> {
  const bucket = await freshBucket()
  undo.push(() => bucket.close())
  return bucket
}
async function aDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'landfall-data-'))
  undo.push(() => rm(directory, { recursive: true, force: true }))
  return directory
}

const aPicture = async (width: number): Promise<Buffer> =>
  await readFile((await jpeg({ width, height: 600 })).path)

/** `serve` and `worker` as they start with these settings. */
async function startsOf({ connectionString }: Landfall, dataDirectory: string, env: Record<string, string>) {
  const results = []
  for (const command of ['serve', 'worker']) {
    const { exitCode, stderr } = await runCommand(dataDirectory, [command], {
      DATABASE_URL: connectionString,
      AUTH_JWT_SECRET: SECRET,
      SCAN: 'off',
      PORT: '0',
      ...env,
    })
    results.push([exitCode, stderr])
  }
  return results
}
const stopsWith = (line: RegExp) => {
  const result = [
    2,
    expect.stringMatching(new RegExp(`^landfall: ${line.source}[^\\n]*nothing was changed$`)),
  ]
  return [result, result]
}

const partOf = (bytes: Buffer, from: number, to: number) => ({ offset: from, body: bytes.subarray(from, to) })

describe.skipIf(!ceph.met || !ffmpeg.met).each(['disk', 's3'] as const)('a storage that was %s', (former) => {
  const now = former === 'disk' ? 's3' : 'disk'

  it('serves what it has, finishes what is open there and removes it from there, while new files go elsewhere', async () => {
    const bucket = await aBucket()
    const env = { ...bucket.env() }
    const dataDirectory = await aDirectory()
    const before = await start({ dataDirectory, env: former === 's3' ? env : {} })
    const file = await shortVideo({ width: 640, height: 360, seconds: 2 })
    const media = await process(before, 'alice', file)
    await expect.poll(() => hlsOf(before, media.id), { timeout: 30_000 }).toBe(200)
    const bytes = Buffer.from(await (await content(before, media.id)).arrayBuffer())
    const picture = await aPicture(800)
    const half = Math.floor(picture.length / 2)
    const open = await createId(before, 'alice', { size: picture.length, ...AS_JPEG })
    await patch(before, 'alice', open, partOf(picture, 0, half))
    const ended = await createId(before, 'alice', { size: picture.length, ...AS_JPEG })
    await patch(before, 'alice', ended, partOf(picture, 0, half))
    await undo.pop()?.()

    const after = await start({
      dataDirectory,
      connectionString: before.connectionString,
      env: { ...env, STORAGE: now },
    })
    const places = { disk: storedOnDisk(dataDirectory), s3: storedInBucket(bucket) }
    // Byte for byte, in ranges, and all that was made of it.
    expect(sha256Of(Buffer.from(await (await content(after, media.id)).arrayBuffer()))).toBe(sha256Of(bytes))
    const range = await content(after, media.id, { Range: 'bytes=1000-1999' })
    expect(range.status).toBe(206)
    expect(Buffer.from(await range.arrayBuffer()).equals(bytes.subarray(1000, 2000))).toBe(true)
    for (const made of ['thumbnail', 'storyboard', 'storyboard.vtt', 'hls.m3u8', 'hls/1.m3u8', 'hls/1.mp4'])
      expect((await after.as('alice')(`/api/v1/media/${media.id}/${made}`)).status, made).toBe(200)

    expect((await head(after, 'alice', open)).headers.get('Upload-Offset')).toBe(String(half))
    expect((await patch(after, 'alice', open, partOf(picture, half, picture.length))).status).toBe(204)
    const fresh = await process(after, 'alice', await jpeg({ width: 640, height: 480 }))
    expect(await outcome(after, 'alice', open)).toMatchObject({ status: 'ready', sha256: sha256Of(picture) })
    expect(await places[former].keys()).toContain(`uploads/${open}`)
    expect(await places[now].keys()).toEqual(
      expect.arrayContaining([`uploads/${fresh.uploadId}`, `public/${fresh.id}.jpg`]),
    )
    expect(await places[former].keys()).not.toContain(`uploads/${fresh.uploadId}`)

    // Removed from where it is, and not only said to be.
    expect((await terminate(after, 'alice', ended)).status).toBe(204)
    for (const id of [media.id, fresh.id])
      expect((await after.as('alice')(`/api/v1/media/${id}`, { method: 'DELETE' })).status).toBe(204)
    const purge = async () => {
      const env = { DATABASE_URL: after.connectionString, MEDIA_RETENTION: '1s' }
      await runCommand(dataDirectory, ['reap'], env)
      return await after.db
        .selectFrom('landfall.media')
        .select('id')
        .where('purged_at', 'is not', null)
        .execute()
    }
    await expect.poll(purge, { timeout: 20_000 }).toHaveLength(2)
    await expect
      .poll(async () => (await places[former].keys()).filter((key) => !key.includes(open)), {
        timeout: 20_000,
      })
      .toEqual(expect.not.arrayContaining([expect.stringMatching(`${media.id}|${media.uploadId}|${ended}`)]))
    await expect
      .poll(async () => (await places[now].keys()).filter((key) => key.includes(fresh.id)), {
        timeout: 20_000,
      })
      .toEqual([])
  })

  it('puts a concatenation together where its partial uploads are', async () => {
    const bucket = await aBucket()
    const dataDirectory = await aDirectory()
    const places = { disk: storedOnDisk(dataDirectory), s3: storedInBucket(bucket) }
    const before = await start({
      dataDirectory,
      withoutWorker: true,
      env: { ...bucket.env(), STORAGE: former },
    })
    const bytes = await aPicture(640)
    const partial = async (landfall: Landfall, body: Buffer) =>
      idOf(
        await create(landfall, 'alice', { size: body.length, body, headers: { 'Upload-Concat': 'partial' } }),
      )
    const first = await partial(before, bytes.subarray(0, 1000))
    const second = await partial(before, bytes.subarray(1000))
    await undo.pop()?.()
    const after = await start({
      dataDirectory,
      connectionString: before.connectionString,
      env: { ...bucket.env(), STORAGE: now },
    })
    const final = await fetch(`${after.url}/files`, {
      method: 'POST',
      headers: {
        Authorization: `Bearer ${after.token('alice')}`,
        'Tus-Resumable': '1.0.0',
        'Upload-Concat': `final;/files/${first} /files/${second}`,
      },
    })
    expect(final.status).toBe(201)
    const media = await outcome(after, 'alice', idOf(final))
    expect(media).toMatchObject({ status: 'ready', size: bytes.length, sha256: sha256Of(bytes) })
    expect(await places[former].keys()).toContain(`uploads/${idOf(final)}`)
  })
})

const content = (landfall: Landfall, id: string, headers: Record<string, string> = {}) =>
  landfall.as('alice')(`/api/v1/media/${id}/content`, { headers })
const hlsOf = async (landfall: Landfall, id: string) =>
  (await landfall.as('alice')(`/api/v1/media/${id}/hls.m3u8`)).status

/** Received files and open uploads, whatever becomes of them. */
async function filled(landfall: Landfall): Promise<void> {
  const bytes = patterned(2000, 'a file')
  await createId(landfall, 'alice', { size: bytes.length, ...AS_JPEG })
  const received = await createId(landfall, 'alice', { size: bytes.length, ...AS_JPEG })
  expect((await patch(landfall, 'alice', received, partOf(bytes, 0, bytes.length))).status).toBe(204)
}

describe('a start without the settings of what is stored', () => {
  const NOWHERE = {
    STORAGE: 's3',
    S3_BUCKET: 'another-place',
    S3_ENDPOINT: 'http://127.0.0.1:1',
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
  }

  it('stops where DATA_DIR is another one, and says what is missing', async () => {
    const landfall = await start({ withoutWorker: true })
    await filled(landfall)
    const elsewhere = await aDirectory()
    const refused = stopsWith(
      /DATA_DIR: "[^"]*" is not accepted; the database needs 1 media item and 1 open upload in another directory, and \S*objects has no landfall-storage-/,
    )
    expect(await startsOf(landfall, elsewhere, {})).toEqual(refused)
    expect(await startsOf(landfall, elsewhere, NOWHERE)).toEqual(refused)
  })

  it('stops in an empty DATA_DIR also where the files are of a release that left no marker', async () => {
    const landfall = await start({ withoutWorker: true })
    await filled(landfall)
    await sql`update landfall.media set status = 'ready'`.execute(landfall.db)
    await sql`delete from landfall.storage_places`.execute(landfall.db)
    expect(await startsOf(landfall, await aDirectory(), {})).toEqual(
      stopsWith(/DATA_DIR: "[^"]*" is not accepted; [^\n]* has none of them/),
    )
    // Where they are it goes on, and recognises them from then on.
    const again = await start({ beside: landfall, withoutWorker: true })
    const { rows } = await sql`select backend from landfall.storage_places`.execute(again.db)
    expect(rows).toEqual([{ backend: 'disk' }])
  })

  it('does not mind what nobody needs any more', async () => {
    const landfall = await start({ withoutWorker: true })
    await filled(landfall)
    await sql`update landfall.uploads set state = 'terminated' where state = 'open'`.execute(landfall.db)
    await sql`update landfall.media set status = 'deleted', deleted_at = now(), purged_at = now()`.execute(
      landfall.db,
    )
    await start({ connectionString: landfall.connectionString, dataDirectory: await aDirectory() })
  })

  describe.skipIf(!ceph.met)('of a bucket', () => {
    it('stops, and says which are missing or wrong', async () => {
      const bucket = await aBucket()
      const landfall = await start({ withoutWorker: true, env: bucket.env() })
      await filled(landfall)
      expect(await startsOf(landfall, landfall.dataDirectory, {})).toEqual(
        stopsWith(
          /S3_BUCKET: "" is not accepted; the database needs 1 media item and 1 open upload in a bucket:[^\n]*landfall move/,
        ),
      )
      const other = await aBucket()
      const wrong = stopsWith(
        /S3_BUCKET: "test-[^"]*" is not accepted; the database needs 1 media item and 1 open upload in another bucket, and bucket test-\S* has no landfall-storage-/,
      )
      expect(await startsOf(landfall, landfall.dataDirectory, other.env())).toEqual(wrong)
      expect(await startsOf(landfall, landfall.dataDirectory, { ...other.env(), STORAGE: 'disk' })).toEqual(
        wrong,
      )
      // Another prefix for new keys, and a way there by another name, lead to the same.
      await start({ beside: landfall, withoutWorker: true, env: { ...bucket.env(), S3_PREFIX: 'new/' } })
    })

    it('is not stopped by a bucket that does not answer; it is recognised when it does', async () => {
      const landfall = await start({ withoutWorker: true, storage: 's3' })
      await filled(landfall)
      const away = { ...landfall.storageEnv, S3_ENDPOINT: 'http://127.0.0.1:1' }
      const beside = await start({ beside: landfall, withoutWorker: true, env: away })
      expect((await head(beside, 'alice', await createId(beside, 'alice', { size: 2000 }))).status).toBe(200)
    })
  })
})
