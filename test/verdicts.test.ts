import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import {
  eicarTailVideo,
  eicarTestString,
  type Fixture,
  jpeg,
  png,
  shortVideo,
  textNamedMp4,
  truncatedFaststartVideo,
  truncatedVideo,
} from './fixtures/media.ts'
import { requires } from './services/requirements.ts'
import { stateChanges } from './support/event-log.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { filesHolding } from './support/leftovers.ts'
import { problemOf, rawRequest, tusHeaders } from './support/raw-http.ts'
import { NOTHING_USED, quotaOf, statusOf } from './support/status.ts'
import { describeStorages } from './support/storages.ts'
import { leftBehind } from './support/stored.ts'
import { create, createId, head, patch } from './support/tus.ts'
import { type MediaJson, outcome, type SourceFile, sendFile } from './support/uploads.ts'

const ffmpeg = requires('ffmpeg')
const clamd = requires('clamd')
const isEquipped = ffmpeg.met && clamd.met
/** Bytes of which nobody tells yet what they are. */
const UNJUDGED = 1000

describeStorages.skipIf(!isEquipped)('an infected file', (storage) => {
  let landfall: Landfall
  let file: Fixture
  let uploadId: string
  let mediaId: string

  beforeAll(async () => {
    landfall = await startLandfall({ storage })
    file = await eicarTailVideo()
    uploadId = (await sendFile(landfall, 'alice', file)).uploadId
    mediaId = (await outcome(landfall, 'alice', uploadId)).id
  })
  afterAll(() => landfall?.close())

  it('holds the EICAR string in what was sent', async () => {
    expect(await readFile(file.path, 'latin1')).toContain(eicarTestString())
  })

  it('is rejected as infected, on the media and on the upload', async () => {
    const media = await (await landfall.as('alice')(`/api/v1/media/${mediaId}`)).json()
    expect(media).toMatchObject({
      status: 'rejected',
      reason: { code: 'infected', detail: expect.stringContaining('Eicar-Test-Signature') },
      thumbnailUrl: null,
      contentUrl: null,
      readyAt: null,
    })
    expect(await statusOf(landfall, 'alice', uploadId)).toMatchObject({
      state: 'rejected',
      mediaId,
      reason: { code: 'infected' },
    })
  })

  it('leaves no byte of it in the storage, nor below the data directory', async () => {
    await expect.poll(() => leftBehind(landfall), { timeout: 10_000 }).toEqual([])
    expect(await filesHolding(landfall.dataDirectory, eicarTestString())).toEqual([])
  })

  it('answers HEAD with 410 and the reason in a header', async () => {
    const answer = await head(landfall, 'alice', uploadId)
    expect(answer.status).toBe(410)
    expect(answer.headers.get('Upload-Reject-Reason')).toBe('infected')
  })

  it('answers PATCH with 410, code and reason', async () => {
    const answer = await patch(landfall, 'alice', uploadId, { offset: file.size, body: new Uint8Array() })
    expect(answer.status).toBe(410)
    expect(await answer.json()).toMatchObject({ code: 'upload-rejected', reason: { code: 'infected' } })
  })

  it.each(['content', 'thumbnail'])('answers a request for its %s with 410 and the reason', async (what) => {
    const answer = await landfall.as('alice')(`/api/v1/media/${mediaId}/${what}`)
    expect(answer.status).toBe(410)
    expect(await answer.json()).toMatchObject({ code: 'upload-rejected', reason: { code: 'infected' } })
  })

  it('tells those who listen, with the reason', async () => {
    const states = await stateChanges(landfall, 'alice', uploadId)
    expect(states.map(({ type }) => type)).toEqual([
      'upload.created',
      'upload.received',
      'media.rejected',
      'upload.rejected',
    ])
    expect(states.slice(2)).toEqual([
      expect.objectContaining({ mediaId, reason: expect.objectContaining({ code: 'infected' }) }),
      expect.objectContaining({ mediaId, reason: expect.objectContaining({ code: 'infected' }) }),
    ])
  })

  it('costs its owner no quota', async () => {
    expect(await quotaOf(landfall, 'alice')).toEqual(NOTHING_USED)
  })

  it('tells a stranger nothing', async () => {
    const answer = await rawRequest(landfall, {
      method: 'PATCH',
      path: `/files/${uploadId}`,
      headers: tusHeaders(landfall, 'mallory', {
        'Upload-Offset': String(file.size),
        'Content-Type': 'application/offset+octet-stream',
      }),
      body: new Uint8Array(),
    })
    expect(answer.status).toBe(404)
    expect(problemOf(answer).code).toBe('not-found')
  })
})

describeStorages.skipIf(!isEquipped)('a file that is not what is wanted', (storage) => {
  let landfall: Landfall
  let strict: Landfall
  let directory: string

  beforeAll(async () => {
    landfall = await startLandfall({ storage })
    strict = await startLandfall({ storage, env: { MEDIA_MAX_DURATION: '2s' } })
    directory = await mkdtemp(join(tmpdir(), 'landfall-verdicts-'))
  })
  afterAll(async () => {
    await landfall?.close()
    await strict?.close()
    await rm(directory, { recursive: true, force: true })
  })

  async function truncatedJpeg(): Promise<SourceFile> {
    const whole = await jpeg({ width: 1600, height: 900 })
    const bytes = await readFile(whole.path)
    const path = join(directory, 'truncated.jpg')
    await writeFile(path, bytes.subarray(0, Math.floor(bytes.length * 0.6)))
    return { path, name: 'truncated.jpg', contentType: 'image/jpeg' }
  }
  const jpegNamedMp4 = async (): Promise<SourceFile> => ({
    ...(await jpeg({ width: 1600, height: 900 })),
    name: 'holiday.mp4',
    contentType: 'video/mp4',
  })

  /** So that it is not judged while it arrives: by fewer first bytes than that takes, and then the rest. */
  async function processUnseen(server: Landfall, owner: string, file: SourceFile): Promise<MediaJson> {
    const bytes = await readFile(file.path)
    const metadata = { filename: file.name, filetype: file.contentType }
    const id = await createId(server, owner, { size: bytes.length, metadata })
    for (const [offset, body] of [
      [0, bytes.subarray(0, UNJUDGED)],
      [UNJUDGED, bytes.subarray(UNJUDGED)],
    ] as const) {
      expect((await patch(server, owner, id, { offset, body })).status).toBe(204)
    }
    return await outcome(server, owner, id)
  }

  type Case = [what: string, code: string, make: () => Promise<SourceFile>, options?: { strict: true }]
  const cases: Case[] = [
    ['a text named .mp4', 'type-not-recognised', textNamedMp4],
    ['an mp4 that lacks its index', 'damaged', truncatedVideo],
    ['an mp4 that lacks its data', 'damaged', truncatedFaststartVideo],
    ['a jpeg that lacks its end', 'damaged', truncatedJpeg],
    ['a jpeg named .mp4', 'type-mismatch', jpegNamedMp4],
    ['a 10,100×10,000 png', 'dimensions-too-large', () => png({ width: 10_100, height: 10_000 })],
    ['a 200×100 video', 'dimensions-too-small', () => shortVideo({ width: 200, height: 100 })],
    ['3 s where 2 s are allowed', 'too-long', () => shortVideo({ seconds: 3 }), { strict: true }],
  ]

  it.each(cases)(
    '%s is rejected by its processing as %s, leaves nothing and costs nothing',
    async (...args) => {
      const [what, code, make, options] = args
      const server = options?.strict ? strict : landfall
      const owner = `owner of ${what.replaceAll(/\W+/g, ' ')}`
      const media = await processUnseen(server, owner, await make())
      expect(media).toMatchObject({
        status: 'rejected',
        reason: { code, detail: expect.stringMatching(/\w/) },
      })
      expect(await statusOf(server, owner, media.uploadId)).toMatchObject({
        state: 'rejected',
        reason: { code },
      })
      expect((await head(server, owner, media.uploadId)).headers.get('Upload-Reject-Reason')).toBe(code)
      await expect.poll(() => leftBehind(server), { timeout: 10_000 }).toEqual([])
      expect(await quotaOf(server, owner)).toEqual(NOTHING_USED)
    },
  )

  const small = () => shortVideo({ width: 200, height: 100, faststart: true })
  const long = () => shortVideo({ seconds: 4, faststart: true })
  type Early = [what: string, reason: string, status: number, code: string, make: () => Promise<SourceFile>]
  const early: Early[] = [
    ['a text named .mp4', 'type-not-recognised', 415, 'type-not-allowed', textNamedMp4],
    ['a jpeg named .mp4', 'type-mismatch', 415, 'type-not-allowed', jpegNamedMp4],
    ['a 200×100 video', 'dimensions-too-small', 422, 'content-rejected', small],
    ['4 s where 2 s are allowed', 'too-long', 422, 'content-rejected', long],
  ]

  it.each(early)('%s is refused as %s while it arrives, with %i', async (...args) => {
    const [what, reason, status, code, make] = args
    const owner = `sender of ${what.replaceAll(/\W+/g, ' ')}`
    const { name, path } = await make()
    const bytes = await readFile(path)
    const id = await createId(strict, owner, { size: bytes.length, metadata: { filename: name } })
    const refusal = await patch(strict, owner, id, { offset: 0, body: bytes })
    expect([refusal.status, refusal.headers.get('Upload-Reject-Reason')]).toEqual([status, reason])
    expect(await refusal.json()).toMatchObject({ code, reason: { code: reason } })

    const again = await patch(strict, owner, id, { offset: 0, body: bytes })
    expect([again.status, again.headers.get('Upload-Reject-Reason')]).toEqual([410, reason])
    expect(await again.json()).toMatchObject({ code: 'upload-rejected', reason: { code: reason } })
    expect((await head(strict, owner, id)).headers.get('Upload-Reject-Reason')).toBe(reason)
    expect(await statusOf(strict, owner, id)).toMatchObject({ state: 'rejected', reason: { code: reason } })
    const changes = await stateChanges(strict, owner, id)
    expect(changes.map(({ type }) => type)).toEqual(['upload.created', 'upload.rejected'])
    await expect.poll(() => leftBehind(strict), { timeout: 10_000 }).toEqual([])
    expect(await quotaOf(strict, owner)).toEqual(NOTHING_USED)
  })

  it.each(early)('%s is refused as %s with its creation as well', async (...args) => {
    const [what, reason, status, code, make] = args
    const owner = `creator of ${what.replaceAll(/\W+/g, ' ')}`
    const { name, path } = await make()
    const bytes = await readFile(path)
    const answer = await create(strict, owner, {
      size: bytes.length,
      metadata: { filename: name },
      body: bytes,
    })
    expect([answer.status, await answer.json()]).toEqual([
      status,
      expect.objectContaining({ code, reason: expect.objectContaining({ code: reason }) }),
    ])
    await expect.poll(() => leftBehind(strict), { timeout: 10_000 }).toEqual([])
    expect(await quotaOf(strict, owner)).toEqual(NOTHING_USED)
  })
})
