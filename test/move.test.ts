import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { sql } from 'kysely'
import { describe, expect, it } from 'vitest'
import type { Backend } from '../ledger/storage-places.ts'
import { jpeg, shortVideo } from './fixtures/media.ts'
import { requires } from './services/requirements.ts'
import { runCommand } from './support/command.ts'
import { asMediaId } from './support/ids.ts'
import type { Landfall } from './support/landfall.ts'
import { sha256Of, videoOfSize } from './support/s3-landfall.ts'
import { create, createId, idOf, patch } from './support/tus.ts'
import { otherThan, type TwoPlaces, twoPlaces } from './support/two-places.ts'
import { type MediaJson, outcome, process as uploaded } from './support/uploads.ts'

const ceph = requires('ceph')
const ffmpeg = requires('ffmpeg')
const AS_JPEG = { metadata: { filename: 'a.jpg', filetype: 'image/jpeg' } }
const MIB = 1024 * 1024
const MAIN = join(import.meta.dirname, '..', 'landfall.ts')

async function bytesAt(landfall: Landfall, path: string, headers = {}): Promise<Buffer> {
  const response = await landfall.as('alice')(path, { headers })
  expect(response.status, path).toBeLessThan(300)
  return Buffer.from(await response.arrayBuffer())
}
const contentOf = (landfall: Landfall, { id }: MediaJson) => bytesAt(landfall, `/api/v1/media/${id}/content`)

/** Uploads in one request; resolves when it is ready. */
async function send(landfall: Landfall, body: Buffer, type = 'image/jpeg'): Promise<MediaJson> {
  const name = type === 'image/jpeg' ? 'a.jpg' : 'a.mp4'
  const metadata = { filename: name, filetype: type }
  return await outcome(
    landfall,
    'alice',
    idOf(await create(landfall, 'alice', { size: body.length, body, metadata })),
  )
}

async function pictures(count: number): Promise<Buffer[]> {
  const paths = await Promise.all(
    Array.from({ length: count }, (_, i) => jpeg({ width: 400 + 2 * i, height: 300 })),
  )
  return await Promise.all(paths.map(({ path }) => readFile(path)))
}

/** Keys of this upload and media item, which are no others'. */
const ofMedia = async (places: TwoPlaces['places'], backend: Backend, { id, uploadId }: MediaJson) =>
  (await places[backend].keys()).filter((key) => key.includes(id) || key.includes(uploadId))

describe.skipIf(!ceph.met || !ffmpeg.met).each<Backend>(['s3', 'disk'])('landfall move --to %s', (to) => {
  const from = otherThan(to)

  it('moves files with all that was made of them; what is open stays until it has ended', async () => {
    const { places, start, move, removeFormer } = await twoPlaces({
      HLS: 'on',
      HLS_HEIGHTS: '240',
      PUBLISH: 'copy',
      S3_PREFIX: 'private/{owner}/',
    })
    const landfall = await start(from)
    const video = await uploaded(landfall, 'alice', await shortVideo({ width: 640, height: 360, seconds: 2 }))
    const routes = ['content', 'thumbnail', 'storyboard', 'storyboard.vtt', 'hls/1.mp4'].map(
      (name) => `/api/v1/media/${video.id}/${name}`,
    )
    await expect
      .poll(async () => (await landfall.as('alice')(`/api/v1/media/${video.id}/hls.m3u8`)).status, {
        timeout: 30_000,
      })
      .toBe(200)
    const [picture = Buffer.alloc(0), second = Buffer.alloc(0)] = await pictures(2)
    const deleted = await send(landfall, second)
    expect((await landfall.as('alice')(`/api/v1/media/${deleted.id}`, { method: 'DELETE' })).status).toBe(204)
    const failed = await send(landfall, second)
    await sql`update landfall.media set status = 'failed' where id = ${failed.id}`.execute(landfall.db)
    await sql`delete from landfall.renditions where kind = 'published' and media_id = ${failed.id}`.execute(
      landfall.db,
    )
    await places[from].lose(`public/${failed.id}.jpg`)
    const open = await createId(landfall, 'alice', { size: picture.length, ...AS_JPEG })
    await patch(landfall, 'alice', open, { offset: 0, body: picture.subarray(0, 5000) })
    const before = await Promise.all(routes.map((route) => bytesAt(landfall, route)))

    // The public copy of what was deleted has to have gone before.
    await expect
      .poll(
        async () =>
          await landfall.db
            .selectFrom('landfall.renditions')
            .select('kind')
            .where('media_id', '=', asMediaId(deleted.id))
            .where('kind', '=', 'published')
            .execute(),
        { timeout: 20_000 },
      )
      .toEqual([])
    const first = await move(landfall, to)
    expect(first.exitCode).toBe(1)
    expect(first.stdout).toMatch(new RegExp(`^moved to ${to}: 3 media items, \\d+ bytes\n`))
    expect(first.stdout).toMatch(/1 uploads are still open on \w+: run it again when they have ended/)
    const after = await Promise.all(routes.map((route) => bytesAt(landfall, route)))
    expect(after.map(sha256Of)).toEqual(before.map(sha256Of))
    const range = await bytesAt(landfall, routes[0] ?? '', { Range: 'bytes=1000-1999' })
    expect(range.equals((before[0] ?? range).subarray(1000, 2000))).toBe(true)

    // Former copies are there for who is reading them, and then they are not.
    const moved = await ofMedia(places, to, video)
    expect((await ofMedia(places, from, video)).length).toBe(moved.length)
    expect(moved).toContain(`${to === 's3' ? 'private/alice/' : ''}uploads/${video.uploadId}`)
    expect(moved.some((key) => key.startsWith('public/'))).toBe(true)
    expect(await removeFormer(landfall)).toBe(3)
    expect((await places[from].keys()).filter((key) => !key.includes(open))).toEqual([])
    expect(await bytesAt(landfall, routes[0] ?? '')).toEqual(before[0])

    const rest = { offset: 5000, body: picture.subarray(5000) }
    expect((await patch(landfall, 'alice', open, rest)).status).toBe(204)
    const late = await outcome(landfall, 'alice', open)
    expect(await move(landfall, to)).toMatchObject({ exitCode: 0 })
    expect(sha256Of(await contentOf(landfall, late))).toBe(sha256Of(picture))
    // And back, though the former copies are not all gone.
    expect((await move(landfall, from)).stdout).toMatch(/^moved to \w+: 4 media items/)
    expect(sha256Of(await contentOf(landfall, late))).toBe(sha256Of(picture))
    await removeFormer(landfall)
    expect(await places[to].keys()).toEqual([])
  }, 120_000)

  it('goes on after kill -9, beside a server with downloads and uploads; two at once do no harm', async () => {
    const { places, env, dataDirectory, start, move, removeFormer } = await twoPlaces()
    const landfall = await start(from)
    const bodies = await pictures(12)
    const items: { media: MediaJson; sha256: string }[] = []
    for (const body of bodies) items.push({ media: await send(landfall, body), sha256: sha256Of(body) })
    const large = await videoOfSize(40 * MIB, 'large')
    items.push({ media: await send(landfall, large, 'video/mp4'), sha256: sha256Of(large) })

    let isOver = false
    const reading = (async () => {
      let rounds = 0
      for (; !isOver; rounds++) {
        for (const { media, sha256 } of items) {
          expect(sha256Of(await contentOf(landfall, media))).toBe(sha256)
          if (isOver) break
        }
      }
      return rounds
    })()
    const beside = await start(to, { withoutWorker: true })
    const sending = (async () => {
      const sent: MediaJson[] = []
      while (!isOver) sent.push(await send(beside, bodies[0] ?? Buffer.alloc(0)))
      return sent
    })()
    const movedOf = async () =>
      (
        await landfall.db
          .selectFrom('landfall.media')
          .select('id')
          .where('storage_backend', '=', to)
          .where('id', 'in', items.map(({ media }) => media.id).map(asMediaId))
          .execute()
      ).length

    for (const least of [1, 5]) {
      const child = spawn(process.execPath, [MAIN, 'move', '--to', to], {
        env: {
          PATH: process.env.PATH,
          DATA_DIR: dataDirectory,
          DATABASE_URL: landfall.connectionString,
          ...env,
        },
        stdio: 'ignore',
      })
      const exited = once(child, 'exit')
      await expect.poll(movedOf, { timeout: 30_000, interval: 5 }).toBeGreaterThanOrEqual(least)
      child.kill('SIGKILL')
      await exited
    }
    // What the killed one has held is free after half a minute, or at once for who has time.
    await sql`update landfall.stray_copies set fenced_until = now() where not is_removing`.execute(
      landfall.db,
    )
    const both = await Promise.all([move(landfall, to), move(landfall, to)])
    isOver = true
    for (const { exitCode, stderr } of both) {
      expect(exitCode).toBe(0)
      // How far it is, where it takes long.
      expect(stderr).toMatch(/^(landfall: move: \d+, \d+ MB\n?)*$/)
    }
    expect(await reading).toBeGreaterThan(0)
    expect(await movedOf()).toBe(items.length)
    for (const media of await sending) expect(media.status).toBe('ready')
    await removeFormer(landfall)
    expect(await places[from].keys()).toEqual([])
    for (const { media, sha256 } of items) expect(sha256Of(await contentOf(landfall, media))).toBe(sha256)
    expect(await places[to].openMultiparts()).toEqual([])
  }, 180_000)

  it('leaves a file where it is that is not what was received, and says so', async () => {
    const { places, start, move, removeFormer } = await twoPlaces()
    const landfall = await start(from)
    const [first = Buffer.alloc(0), second = Buffer.alloc(0), third = Buffer.alloc(0)] = await pictures(3)
    const [changed, lost, whole] = [
      await send(landfall, first),
      await send(landfall, second),
      await send(landfall, third),
    ]
    const other = Buffer.from(first)
    other[other.length - 10] = (other.at(-10) ?? 0) ^ 1
    // With the etag of the other bytes: nothing but their hash tells.
    await places[from].replace(`uploads/${changed.uploadId}`, other)
    await sql`update landfall.media set etag = null`.execute(landfall.db)
    await places[from].lose(`uploads/${lost.uploadId}`)
    const { exitCode, stdout } = await move(landfall, to)
    expect(exitCode).toBe(1)
    expect(stdout).toMatch(/^moved to \w+: 1 media items/)
    expect(stdout).toMatch(
      new RegExp(
        `not moved: media item ${changed.id}: its bytes have SHA-256 \\w+ where ${sha256Of(first)} was received`,
      ),
    )
    expect(stdout).toMatch(new RegExp(`not moved: media item ${lost.id}: no object`))
    const rows = await landfall.db.selectFrom('landfall.media').select(['id', 'storage_backend']).execute()
    expect(new Map(rows.map((row) => [row.id, row.storage_backend]))).toEqual(
      new Map([
        [changed.id, from],
        [lost.id, from],
        [whole.id, to],
      ]),
    )
    await removeFormer(landfall)
    expect(await ofMedia(places, to, changed)).toEqual([])
    expect(await places[from].keys()).toContain(`uploads/${changed.uploadId}`)
  }, 60_000)

  it('brings partial uploads together that came before and after the change', async () => {
    const { places, start, removeFormer } = await twoPlaces()
    const [bytes = Buffer.alloc(0)] = await pictures(1)
    const partial = async (landfall: Landfall, body: Buffer) =>
      idOf(
        await create(landfall, 'alice', { size: body.length, body, headers: { 'Upload-Concat': 'partial' } }),
      )
    const before = await start(from, { withoutWorker: true })
    const first = await partial(before, bytes.subarray(0, 3000))
    const after = await start(to)
    const second = await partial(after, bytes.subarray(3000))
    const final = await fetch(`${after.url}/files`, {
      method: 'POST',
      headers: {
        Authorization: `Bearer ${after.token('alice')}`,
        'Tus-Resumable': '1.0.0',
        'Upload-Concat': `final;/files/${first} /files/${second}`,
      },
    })
    expect(final.status).toBe(201)
    expect(await outcome(after, 'alice', idOf(final))).toMatchObject({
      status: 'ready',
      sha256: sha256Of(bytes),
    })
    expect(await places[to].keys()).toContain(`uploads/${idOf(final)}`)
    expect(await removeFormer(after)).toBe(1)
    expect(await places[from].keys()).toEqual([])
  }, 60_000)
})

describe.skipIf(!ceph.met || !ffmpeg.met)('landfall move', () => {
  it('goes on behind a media item that fails, names it and ends with 1', async () => {
    const { start, move, dataDirectory } = await twoPlaces()
    const landfall = await start('disk')
    const items: MediaJson[] = []
    for (const body of await pictures(3)) items.push(await send(landfall, body))
    const [first] = items.toSorted((a, b) => a.id.localeCompare(b.id))
    if (!first) throw new Error('there is no media item')
    const path = join(dataDirectory, 'objects/uploads', first.uploadId)
    // It cannot be read, and nobody knows why.
    await rm(path)
    await mkdir(path)
    const { exitCode, stdout } = await move(landfall, 's3')
    expect(exitCode).toBe(1)
    expect(stdout.split('\n')).toEqual([
      expect.stringMatching(/^moved to s3: 2 media items, /),
      expect.stringMatching(/^a worker removes/),
      expect.stringMatching(new RegExp(`^not moved: media item ${first.id}: EISDIR`)),
      'not moved: 0 that are damaged, 1 that failed',
    ])
  }, 60_000)
})

describe('landfall move', () => {
  it('says what it takes', async () => {
    const bucketMissing = { DATABASE_URL: 'postgres://127.0.0.1:1/none' }
    expect(await runCommand('/nowhere', ['move'], bucketMissing)).toMatchObject({
      exitCode: 2,
      stderr: 'landfall: move takes --to s3 or --to disk',
    })
  })
})
