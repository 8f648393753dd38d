import { createReadStream } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { DetailedError, FileUrlStorage, type UploadOptions } from 'tus-js-client'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { requires } from '../services/requirements.ts'
import { type Landfall, startLandfall } from '../support/landfall.ts'
import { sha256Of, videoOfSize } from '../support/s3-landfall.ts'
import { NOTHING_USED, quotaOf, untilReceived } from '../support/status.ts'
import { describeStorages } from '../support/storages.ts'
import { leftBehind } from '../support/stored.ts'
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts'
import type { Target } from '../support/tus.ts'
import { finish, type Source, type TusJsUpload, tusJsUpload } from '../support/tus-js-client.ts'
import { outcome } from '../support/uploads.ts'

const ffmpeg = requires('ffmpeg')
const clamd = requires('clamd')
const MIB = 1024 * 1024
const SIZE = 13 * MIB
const CHUNK = 5 * MIB
const GONE_MS = 20_000

describeStorages.skipIf(!ffmpeg.met || !clamd.met)('tus-js-client', (storage) => {
  let landfall: Landfall
  let directory: string
  let video: Buffer
  /** The video as a file, and where the client may note its uploads. */
  let path: string
  let notes: string
  const undo: (() => unknown)[] = []

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'landfall-clients-'))
    path = join(directory, 'clip.mp4')
    notes = join(directory, 'uploads.json')
    video = await videoOfSize(SIZE, `tus-js-client ${storage}`)
    await writeFile(path, video)
    landfall = await startLandfall({ storage, env: { UPLOAD_MAX_OPEN: '100' } })
  })
  afterEach(async () => {
    for (const release of undo.splice(0).reverse()) await release()
  })
  afterAll(async () => {
    await landfall?.close()
    await rm(directory, { recursive: true, force: true })
  })

  async function expectReady(server: Target & Pick<Landfall, 'as'>, uploadId: string, bytes = video) {
    const media = await outcome(server, 'alice', uploadId)
    expect(media).toMatchObject({ status: 'ready', size: bytes.length, sha256: sha256Of(bytes) })
  }

  /** A Landfall of one's own, to see that nothing is left in it. */
  async function ownLandfall(): Promise<Landfall> {
    const own = await startLandfall({ storage })
    undo.push(() => own.close())
    return own
  }

  /** The same server behind a network in the test's hands. */
  async function throughProxy<Server extends Target>(server: Server): Promise<Server & { proxy: TcpProxy }> {
    const proxy = await startTcpProxy(server.url)
    undo.push(() => proxy.close())
    return { ...server, url: proxy.url, proxy }
  }

  /** Starts an upload and waits until so many of its bytes are with the server, which get no further. */
  async function startAndHold(
    server: Landfall & { proxy: TcpProxy },
    begun: TusJsUpload,
    bytes: number,
  ): Promise<string> {
    server.proxy.holdAfter(bytes)
    begun.upload.start()
    const uploadId = await begun.created
    await untilReceived(server, 'alice', uploadId, bytes - MIB)
    return uploadId
  }

  /** The client is closed, and what it had not got through is lost. */
  async function interrupt({ proxy }: { proxy: TcpProxy }, { upload }: TusJsUpload): Promise<void> {
    await upload.abort()
    proxy.cut()
    proxy.restore()
    proxy.release()
  }

  describe.each<['tus-v1' | 'ietf-draft-05', appended: number]>([
    ['tus-v1', 204],
    ['ietf-draft-05', 201],
  ])('with protocol %s', (protocol, appended) => {
    it.each<[string, UploadOptions, string[]]>([
      ['in one PATCH', {}, ['POST → 201', `PATCH at 0 → ${appended}`]],
      [
        'in chunks',
        { chunkSize: CHUNK },
        [
          ...['POST → 201', `PATCH at 0 → ${appended}`, `PATCH at ${CHUNK} → ${appended}`],
          `PATCH at ${2 * CHUNK} → ${appended}`,
        ],
      ],
      ['with its creation', { uploadDataDuringCreation: true }, ['POST → 201']],
      [
        'in chunks from its creation on',
        { uploadDataDuringCreation: true, chunkSize: CHUNK },
        ['POST → 201', `PATCH at ${CHUNK} → ${appended}`, `PATCH at ${2 * CHUNK} → ${appended}`],
      ],
      [
        'by POST where PATCH is blocked',
        { overridePatchMethod: true },
        ['POST → 201', `POST at 0 → ${appended}`],
      ],
    ])('sends a video %s', async (_how, options, requests) => {
      const sent = tusJsUpload(landfall, 'alice', video, { protocol, ...options })
      const uploadId = await finish(sent)
      expect(sent.requests).toEqual(requests)
      await expectReady(landfall, uploadId)
    })

    it('resumes from the address of an upload that was aborted in mid-PATCH', async () => {
      const server = await throughProxy(landfall)
      const begun = tusJsUpload(server, 'alice', video, { protocol })
      const uploadId = await startAndHold(server, begun, 7 * MIB)
      await interrupt(server, begun)

      const uploadUrl = begun.upload.url
      const resumed = tusJsUpload(server, 'alice', video, { protocol, uploadUrl })
      expect(await finish(resumed)).toBe(uploadId)
      expectResumed(resumed, 6 * MIB)
      await expectReady(landfall, uploadId)
    })

    it('resumes what it has noted in a file, in another process', async () => {
      const server = await throughProxy(landfall)
      const client = () =>
        tusJsUpload(server, 'alice', video, {
          ...{ protocol, chunkSize: CHUNK, removeFingerprintOnSuccess: true },
          urlStorage: new FileUrlStorage(notes),
        })
      const begun = client()
      const uploadId = await startAndHold(server, begun, 8 * MIB)
      await interrupt(server, begun)

      const resumed = client()
      const [previous, ...others] = await resumed.upload.findPreviousUploads()
      expect(others).toEqual([])
      if (previous) resumed.upload.resumeFromPreviousUpload(previous)
      expect(await finish(resumed)).toBe(uploadId)
      expectResumed(resumed, 7 * MIB)
      await expectReady(landfall, uploadId)
      await expect.poll(() => resumed.upload.findPreviousUploads()).toEqual([])
    })

    it('leaves nothing behind when it is terminated in mid-PATCH', async () => {
      const own = await ownLandfall()
      const server = await throughProxy(own)
      const begun = tusJsUpload(server, 'alice', video, { protocol })
      await startAndHold(server, begun, 7 * MIB)
      expect((await quotaOf(own, 'alice')).bytes.reserved).toBe(SIZE)
      await begun.upload.abort(true)
      expect(await quotaOf(own, 'alice')).toEqual(NOTHING_USED)
      await expect.poll(() => leftBehind(own), { timeout: GONE_MS }).toEqual([])
    })
  })

  it.each<[string, () => Source]>([
    ['held in memory', () => video],
    ['read from the disk', () => createReadStream(path)],
  ])('sends a video %s in three parallel uploads', async (_where, source) => {
    const own = await ownLandfall()
    const sent = tusJsUpload(own, 'alice', source(), { parallelUploads: 3 })
    await expectReady(own, await finish(sent))
    const pieces = ['PATCH at 0 → 204', 'PATCH at 0 → 204', 'PATCH at 0 → 204']
    expect(sent.requests.toSorted()).toEqual([...pieces, ...Array(4).fill('POST → 201')])
    expect(sent.requests.at(-1)).toBe('POST → 201')
    expect(await quotaOf(own, 'alice')).toEqual({
      bytes: { used: SIZE, reserved: 0 },
      uploads: { finished: 1, open: 0 },
    })
  })

  it('resumes parallel uploads where each of them had stopped', async () => {
    const server = await throughProxy(landfall)
    const client = () =>
      tusJsUpload(server, 'alice', video, { parallelUploads: 3, urlStorage: new FileUrlStorage(notes) })
    const begun = client()
    server.proxy.holdAfter(3 * MIB)
    begun.upload.start()
    const previous = await untilNoted(begun, server, 2 * MIB)
    await interrupt(server, begun)

    const resumed = client()
    resumed.upload.resumeFromPreviousUpload(previous)
    const uploadId = await finish(resumed)
    expect(resumed.requests.filter((request) => request === 'HEAD → 200')).toHaveLength(3)
    expect(resumed.offsets).toHaveLength(3)
    for (const offset of resumed.offsets) expect(offset).toBeGreaterThan(2 * MIB)
    await expectReady(landfall, uploadId)
  })

  it('leaves nothing behind when parallel uploads are terminated', async () => {
    const own = await ownLandfall()
    const server = await throughProxy(own)
    const begun = tusJsUpload(server, 'alice', video, {
      parallelUploads: 3,
      urlStorage: new FileUrlStorage(join(directory, 'terminated.json')),
    })
    server.proxy.holdAfter(3 * MIB)
    begun.upload.start()
    await untilNoted(begun, server, 2 * MIB)
    await begun.upload.abort(true)
    await expect.poll(() => quotaOf(own, 'alice'), { timeout: GONE_MS }).toEqual(NOTHING_USED)
    await expect.poll(() => leftBehind(own), { timeout: GONE_MS }).toEqual([])
  })

  it('sends a stream whose length it does not know', async () => {
    const stream = new PassThrough()
    stream.end(video)
    const sent = tusJsUpload(landfall, 'alice', stream, { uploadLengthDeferred: true, chunkSize: CHUNK })
    const uploadId = await finish(sent)
    expect(sent.requests).toEqual([
      ...['POST → 201', 'PATCH at 0 → 204', `PATCH at ${CHUNK} → 204`, `PATCH at ${2 * CHUNK} → 204`],
    ])
    await expectReady(landfall, uploadId)
  })

  it('tells its user why a file is refused while it is still sent by ietf-draft-05', async () => {
    const text = Buffer.alloc(60 * MIB, 'This is no video, whatever its name says.\n')
    const sent = tusJsUpload(landfall, 'alice', text, { protocol: 'ietf-draft-05' })
    const error = await finish(sent).catch((error: unknown) => error)
    if (!(error instanceof DetailedError)) throw error
    expect(JSON.parse(error.originalResponse?.getBody() ?? '')).toMatchObject({ code: 'type-not-allowed' })
    expect(sent.requests).toEqual(['POST → 201', 'PATCH at 0 → 415'])
  })

  // Its appends carry no Content-Type, by which later drafts tell them from other requests: those get a 415.
  it('sends a video with its creation by ietf-draft-03', async () => {
    const options = { protocol: 'ietf-draft-03', uploadDataDuringCreation: true } as const
    const sent = tusJsUpload(landfall, 'alice', video, options)
    await expectReady(landfall, await finish(sent))
    expect(sent.requests).toEqual(['POST → 201'])
  })

  /** What the client has noted, as soon as each of its partial uploads has so many bytes with the server. */
  async function untilNoted({ upload }: TusJsUpload, server: Landfall, bytes: number) {
    await expect
      .poll(async () => (await upload.findPreviousUploads()).length, { timeout: GONE_MS })
      .toBeGreaterThan(0)
    const previous = await upload.findPreviousUploads()
    const urls = previous[0]?.parallelUploadUrls ?? []
    for (const url of urls) {
      await untilReceived(server, 'alice', url.split('/').at(-1) ?? '', bytes)
    }
    if (!previous[0]) throw new Error('nothing was noted')
    return previous[0]
  }
})

/** Asked where it stands, and sent only what was missing: at least `kept` bytes had stayed with the server. */
function expectResumed({ requests, offsets }: TusJsUpload, kept: number): void {
  expect(requests[0]).toMatch(/^HEAD → 20[04]$/)
  expect(offsets[0]).toBeGreaterThanOrEqual(kept)
}
