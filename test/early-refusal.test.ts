import { randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DetailedError, Upload } from 'tus-js-client'
import { afterAll, beforeAll, expect, it } from 'vitest'
import {
  type BigBody,
  beginningWith,
  chunksOf,
  type Sent,
  sendBig,
  sendByteByByte,
  textOf,
} from './early-refusal/big-body.ts'
import { type Container, type Picture, paddedVideo } from './early-refusal/long-media.ts'
import { requires } from './services/requirements.ts'
import { type WatchedServer, watchServer } from './support/bytes-read.ts'
import { asOwnerId } from './support/ids.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { OFFSET_STREAM, problemOf, rawRequest, tusHeaders } from './support/raw-http.ts'
import { asMp4 } from './support/sample-bytes.ts'
import { beginPatch } from './support/slow-patch.ts'
import { NOTHING_USED, quotaOf, statusOf } from './support/status.ts'
import { describeStorages } from './support/storages.ts'
import { leftBehind } from './support/stored.ts'
import { createId, metadataHeader } from './support/tus.ts'
import { outcome } from './support/uploads.ts'

const MIB = 1024 * 1024
const BYTES = 400_000_000
const PADDED_BYTES = 120_000_000
const GOOD_BYTES = 20_000_000
/** As many first bytes as any verdict on the type waits for. */
const ENOUGH_BYTES = 4100
const TIMES = 10
const SMALL_PICTURES = { MEDIA_MIN_WIDTH: '16', MEDIA_MIN_HEIGHT: '16' }

const ffmpeg = requires('ffmpeg')
const MP4_NAME = { filename: 'holiday.mp4', filetype: 'video/mp4' }
const PNG_NAME = { filename: 'holiday.png', filetype: 'image/png' }

describeStorages('a file that is refused by its first bytes', (storage) => {
  let landfall: Landfall
  let server: WatchedServer

  beforeAll(async () => {
    landfall = await startLandfall({
      storage,
      env: {
        SCAN: 'off',
        MEDIA_MAX_DURATION: '1h',
        MEDIA_MAX_WIDTH: '1920',
        MEDIA_MAX_HEIGHT: '1080',
        ...SMALL_PICTURES,
      },
    })
    server = watchServer(landfall.url)
  })
  afterAll(async () => {
    server?.stop()
    await landfall?.close()
  })

  const authorization = (sub: string) => ({ Authorization: `Bearer ${landfall.token(sub)}` })

  async function patchBig(sub: string, metadata: Record<string, string>, body: BigBody, isChunked = false) {
    const id = await createId(landfall, sub, { size: body.bytes, metadata })
    const headers = tusHeaders(landfall, sub, { 'Upload-Offset': '0', 'Content-Type': OFFSET_STREAM })
    const path = `/files/${id}`
    return { id, sent: await sendBig(landfall, { method: 'PATCH', path, headers, body, isChunked }) }
  }

  const createBigWith = (headers: Record<string, string>, body: BigBody): Promise<Sent> =>
    sendBig(landfall, { method: 'POST', path: '/files', headers, body })

  async function onlyUploadOf(sub: string): Promise<string> {
    const rows = await landfall.db
      .selectFrom('landfall.uploads')
      .select('id')
      .where('owner_id', '=', asOwnerId(sub))
      .execute()
    expect(rows).toHaveLength(1)
    return rows[0]?.id ?? ''
  }

  /** How much of a request the server had read when the connection was closed. */
  async function readOf(method: string, request = server.last(method)): Promise<number> {
    await request.closed()
    return request.bytesRead()
  }

  async function expectRefused(
    { answer }: Pick<Sent, 'answer'>,
    method: string,
    expected: { status?: number; code?: string; reason: string; mostRead?: number },
  ): Promise<void> {
    const { status = 415, code = 'type-not-allowed', reason, mostRead = MIB } = expected
    expect([answer.status, problemOf(answer)]).toMatchObject([status, { code, reason: { code: reason } }])
    expect(answer.headers['upload-reject-reason']).toBe(reason)
    expect(await readOf(method)).toBeLessThan(mostRead)
  }

  /** The upload is over and its owner has everything back; nothing of it is kept. */
  async function expectNothingKept(
    sub: string,
    id: string,
    reason: string,
    headers = tusHeaders(landfall, sub),
  ) {
    const asked = await rawRequest(landfall, { method: 'HEAD', path: `/files/${id}`, headers })
    expect([asked.status, asked.headers['upload-reject-reason']]).toEqual([410, reason])
    expect(await statusOf(landfall, sub, id)).toMatchObject({ state: 'rejected', reason: { code: reason } })
    expect(await quotaOf(landfall, sub)).toEqual(NOTHING_USED)
    await expect.poll(() => leftBehind(landfall), { timeout: 20_000 }).toEqual([])
  }

  it.each([
    ['a text named .mp4', MP4_NAME, textOf(BYTES), 'type-not-recognised', 1],
    // Nobody knows how much is left of it, and a client that reads the answer behind its body has to come to its end.
    ['a text named .mp4 in chunks', MP4_NAME, textOf(BYTES), 'type-not-recognised', 17],
    ['an mp4 named .png', PNG_NAME, beginningWith(asMp4(Buffer.alloc(9000)), BYTES), 'type-mismatch', 1],
  ])('%s, 400 MB in one PATCH: little of it is read', async (_what, name, body, reason, mebibytes) => {
    const sub = randomUUID()
    const { id, sent } = await patchBig(sub, name, body, mebibytes > 1)
    await expectRefused(sent, 'PATCH', { reason, mostRead: mebibytes * MIB })
    await expectNothingKept(sub, id, reason)
  })

  it('400 MB with the creation: less than 1 MiB of it is read', async () => {
    const sub = randomUUID()
    const headers = tusHeaders(landfall, sub, {
      'Upload-Length': String(BYTES),
      'Upload-Metadata': metadataHeader(MP4_NAME),
      'Content-Type': OFFSET_STREAM,
    })
    await expectRefused(await createBigWith(headers, textOf(BYTES)), 'POST', {
      reason: 'type-not-recognised',
    })
    await expectNothingKept(sub, await onlyUploadOf(sub), 'type-not-recognised')
  })

  it('400 MB with a creation of the draft: less than 1 MiB of it is read', async () => {
    const sub = randomUUID()
    const sent = await createBigWith(
      {
        ...authorization(sub),
        'Upload-Draft-Interop-Version': '8',
        'Upload-Complete': '?1',
        'Content-Type': 'video/mp4',
        'Content-Disposition': 'attachment; filename="holiday.mp4"',
      },
      textOf(BYTES),
    )
    await expectRefused(sent, 'POST', { reason: 'type-not-recognised' })
    expect(sent.answer.headers['upload-complete']).toBe('?1')
    const id = await onlyUploadOf(sub)
    expect(sent.information.map(({ headers }) => headers.location).join()).toContain(`/files/${id}`)
    await expectNothingKept(sub, id, 'type-not-recognised', authorization(sub))
  })

  it('400 MB appended by the draft: less than 1 MiB of it is read', async () => {
    const sub = randomUUID()
    const draft = { ...authorization(sub), 'Upload-Draft-Interop-Version': '8' }
    const created = await rawRequest(landfall, {
      method: 'POST',
      path: '/files',
      headers: { ...draft, 'Upload-Complete': '?0', 'Upload-Length': String(BYTES), 'Content-Length': '0' },
    })
    expect(created.status).toBe(201)
    const sent = await sendBig(landfall, {
      method: 'PATCH',
      path: created.headers.location ?? '',
      headers: {
        ...draft,
        'Upload-Complete': '?1',
        'Upload-Offset': '0',
        'Content-Type': 'application/partial-upload',
      },
      body: textOf(BYTES),
    })
    await expectRefused(sent, 'PATCH', { reason: 'type-not-recognised' })
    await expectNothingKept(sub, await onlyUploadOf(sub), 'type-not-recognised', authorization(sub))
  })

  it('whose first bytes come one by one: as soon as enough are there', async () => {
    const sub = randomUUID()
    const id = await createId(landfall, sub, { size: BYTES, metadata: MP4_NAME })
    const headers = tusHeaders(landfall, sub, { 'Upload-Offset': '0', 'Content-Type': OFFSET_STREAM })
    const sent = await sendByteByByte(
      landfall,
      { method: 'PATCH', path: `/files/${id}`, headers, body: textOf(BYTES) },
      ENOUGH_BYTES,
    )
    await expectRefused(sent, 'PATCH', { reason: 'type-not-recognised' })
    expect(await readOf('PATCH')).toBeLessThan(ENOUGH_BYTES + 2000)
    await expectNothingKept(sub, id, 'type-not-recognised')
  })

  it('which its client goes on sending, whatever is answered: the connection is cut', async () => {
    const sub = randomUUID()
    const id = await createId(landfall, sub, { size: BYTES, metadata: MP4_NAME })
    const deaf = await beginPatch(landfall, sub, id, { offset: 0, bytes: BYTES })
    for (const chunk of chunksOf(textOf(BYTES))) {
      const isSent = await deaf.send(chunk).then(
        () => true,
        () => false,
      )
      if (!isSent) break
    }
    expect(await deaf.answered).toBe(415)
    expect(await readOf('PATCH')).toBeLessThan(MIB)
    await expectNothingKept(sub, id, 'type-not-recognised')
  })

  it(`is seen to be refused by a client of Node in the middle of its body, ${TIMES} times of ${TIMES}`, async () => {
    const sub = randomUUID()
    for (let time = 0; time < TIMES; time++) {
      const { sent } = await patchBig(sub, MP4_NAME, textOf(BYTES))
      expect(sent.answer.status).toBe(415)
      expect(sent.written).toBeLessThan(BYTES)
    }
    expect(await quotaOf(landfall, sub)).toEqual(NOTHING_USED)
  })

  it(`is seen to be refused by tus-js-client, which gives up at once, ${TIMES} times of ${TIMES}`, async () => {
    const directory = await mkdtemp(join(tmpdir(), 'landfall-refused-'))
    try {
      const path = join(directory, 'holiday.mp4')
      // The rest of it takes no space.
      await writeFile(path, Buffer.alloc(100_000, 'no video '))
      await truncate(path, BYTES)
      const before = server.requests.length
      for (let time = 0; time < TIMES; time++) {
        const { originalResponse } = await refusalOf(landfall, randomUUID(), path)
        expect(originalResponse?.getStatus()).toBe(415)
        expect(originalResponse?.getBody()).toContain('type-not-recognised')
      }
      const requests = server.requests.slice(before)
      expect(requests.map(({ method }) => method)).toEqual(Array(TIMES).fill(['POST', 'PATCH']).flat())
      for (const request of requests) expect(await readOf('PATCH', request)).toBeLessThan(MIB)
    } finally {
      await rm(directory, { recursive: true })
    }
  })

  it.skipIf(!ffmpeg.met).each<[string, Container, Picture, string]>([
    ['an mp4 of three hours', 'mp4', { seconds: 10_800, width: 64, height: 48 }, 'too-long'],
    ['a webm of three hours', 'webm', { seconds: 10_800, width: 64, height: 48 }, 'too-long'],
    ['an mp4 too wide', 'mp4', { seconds: 2, width: 2000, height: 240 }, 'dimensions-too-large'],
    ['a webm too wide', 'webm', { seconds: 2, width: 2000, height: 240 }, 'dimensions-too-large'],
  ])(
    '%s, 120 MB with its header in front: refused when that has arrived',
    async (_what, container, picture, reason) => {
      const sub = randomUUID()
      const body = await paddedVideo(container, picture, PADDED_BYTES)
      const { id, sent } = await patchBig(sub, { filename: `holiday.${container}` }, body)
      await expectRefused(sent, 'PATCH', { status: 422, code: 'content-rejected', reason })
      await expectNothingKept(sub, id, reason)
    },
  )

  it.skipIf(!ffmpeg.met).each<[Container]>([['mp4'], ['webm']])(
    'is none that is good: %s of half an hour, padded just so',
    async (container) => {
      const sub = randomUUID()
      const body = await paddedVideo(container, { seconds: 1800, width: 64, height: 48 }, GOOD_BYTES)
      const { id, sent } = await patchBig(sub, { filename: `holiday.${container}` }, body)
      expect([sent.answer.status, sent.written]).toEqual([204, GOOD_BYTES])
      expect(await outcome(landfall, sub, id)).toMatchObject({ status: 'ready', size: GOOD_BYTES })
      expect((await landfall.stored.bytes(`uploads/${id}`)).length).toBe(GOOD_BYTES)
      for (const left of await landfall.stored.keys()) await landfall.stored.lose(left)
    },
  )
})

/** What an upload with the default options fails of; fails when it does not. */
async function refusalOf(landfall: Landfall, sub: string, path: string): Promise<DetailedError> {
  const file = createReadStream(path)
  try {
    return await new Promise((resolve, reject) => {
      const upload = new Upload(file, {
        endpoint: `${landfall.url}/files`,
        headers: { Authorization: `Bearer ${landfall.token(sub)}` },
        metadata: MP4_NAME,
        uploadSize: BYTES,
        onError: (error) => (error instanceof DetailedError ? resolve(error) : reject(error)),
        onSuccess: () => reject(new Error('the upload was accepted')),
      })
      upload.start()
    })
  } finally {
    file.destroy()
  }
}
