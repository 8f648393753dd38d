import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { sql } from 'kysely'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { jpeg, madeByFfmpeg } from './fixtures/media.ts'
import { requires } from './services/requirements.ts'
import { asMediaId } from './support/ids.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { filesBelow } from './support/leftovers.ts'
import { type Answer, OFFSET_STREAM, problemOf, tusRequest } from './support/raw-http.ts'
import { patterned } from './support/s3-landfall.ts'
import { openSmallDisk, type SmallDisk } from './support/small-disk.ts'
import { NOTHING_USED, quotaOf, statusOf } from './support/status.ts'
import { createId, head, terminate } from './support/tus.ts'
import { type MediaJson, outcome } from './support/uploads.ts'
import { untilWaiting } from './support/waits.ts'

const tmpfs = requires('tmpfs')
const MIB = 1024 * 1024
const DISK = 16 * MIB
/** More than a file system may hold back for itself. */
const PLENTY = 12 * MIB

describe.skipIf(!tmpfs.met)('a full disk', () => {
  let disk: SmallDisk
  let landfall: Landfall
  const nodes: Landfall[] = []

  beforeEach(async () => {
    disk = await openSmallDisk(DISK)
    landfall = await start()
  })
  afterEach(async () => {
    for (const node of nodes.splice(0).reverse()) await node.close()
    await disk?.close()
  })

  async function start(beside?: Landfall, more: Record<string, string> = {}): Promise<Landfall> {
    const env = { UPLOAD_MAX_OPEN: '100', SCAN: 'off', ...more }
    const place = beside ? { beside } : { dataDirectory: disk.directory, withoutWorker: true }
    const node = await startLandfall({ ...place, env })
    nodes.push(node)
    return node
  }

  const append = (id: string, offset: number, body: Uint8Array) =>
    tusRequest(landfall, 'alice', {
      method: 'PATCH',
      at: id,
      headers: { 'Upload-Offset': String(offset), 'Content-Type': OFFSET_STREAM },
      body,
    })
  const declared = (id: string, offset: number, file: Uint8Array) =>
    tusRequest(landfall, 'alice', {
      method: 'PATCH',
      at: id,
      headers: {
        'Upload-Offset': String(offset),
        'Upload-Length': String(file.length),
        'Content-Type': OFFSET_STREAM,
      },
      body: file.subarray(offset),
    })
  const newUpload = (size: number) => createId(landfall, 'alice', { size, metadata: { filename: 'a.jpg' } })
  const offsetOf = async (id: string) => {
    const answer = await head(landfall, 'alice', id)
    expect(answer.status).toBe(200)
    return Number(answer.headers.get('Upload-Offset'))
  }
  const storedOf = (id: string) => landfall.stored.bytes(`uploads/${id}`)
  const expectFull = (answer: Answer) => {
    expect([answer.status, problemOf(answer).code]).toEqual([507, 'storage-full'])
  }

  it('answers a PATCH with 507, keeps what it acknowledged, and goes on when there is space', async () => {
    const bytes = patterned(4 * MIB, 'one')
    const id = await newUpload(bytes.length)
    await disk.leaveFree(2 * MIB)
    expect((await append(id, 0, bytes.subarray(0, MIB))).status).toBe(204)

    expectFull(await append(id, MIB, bytes.subarray(MIB)))
    const offset = await offsetOf(id)
    expect(offset).toBeGreaterThanOrEqual(MIB)
    expect(offset).toBeLessThanOrEqual(2 * MIB)
    expect((await storedOf(id)).equals(bytes.subarray(0, offset))).toBe(true)
    // Asking again while nothing has changed neither helps nor hurts.
    expectFull(await append(id, offset, bytes.subarray(offset)))
    expect(await offsetOf(id)).toBeGreaterThanOrEqual(offset)
    expect(await statusOf(landfall, 'alice', id)).toMatchObject({ state: 'open', reason: null })

    await disk.leaveFree(PLENTY)
    const resumed = await offsetOf(id)
    expect((await append(id, resumed, bytes.subarray(resumed))).status).toBe(204)
    expect(await statusOf(landfall, 'alice', id)).toMatchObject({ state: 'received' })
    expect((await storedOf(id)).equals(bytes)).toBe(true)
  })

  it('takes pieces up to the last that fits, none of which it loses', async () => {
    const bytes = patterned(3 * MIB, 'pieces')
    const piece = 100_000
    const id = await newUpload(bytes.length)
    await disk.leaveFree(MIB)
    let acknowledged = 0
    let answer = await append(id, 0, bytes.subarray(0, piece))
    while (answer.status === 204) {
      acknowledged += piece
      expect(answer.headers['upload-offset']).toBe(String(acknowledged))
      answer = await append(id, acknowledged, bytes.subarray(acknowledged, acknowledged + piece))
    }
    expectFull(answer)
    expect(acknowledged).toBeGreaterThan(MIB - 2 * piece)
    const offset = await offsetOf(id)
    expect(offset).toBeGreaterThanOrEqual(acknowledged)
    expect((await storedOf(id)).equals(bytes.subarray(0, offset))).toBe(true)

    await disk.leaveFree(PLENTY)
    expect((await append(id, offset, bytes.subarray(offset))).status).toBe(204)
    expect((await storedOf(id)).equals(bytes)).toBe(true)
  })

  it('still lets an upload be looked at and ended, which makes the space', async () => {
    const bytes = patterned(3 * MIB, 'ended')
    const id = await newUpload(bytes.length)
    await disk.leaveFree(2 * MIB)
    expectFull(await append(id, 0, bytes))
    expect(await disk.free()).toBe(0)
    await start(landfall)
    expect((await terminate(landfall, 'alice', id)).status).toBe(204)
    expect(await quotaOf(landfall, 'alice')).toEqual(NOTHING_USED)
    await expect.poll(() => disk.free(), { timeout: 10_000 }).toBe(2 * MIB)
  })

  it('answers a creation with bytes so that its client knows the upload and what was kept of it', async () => {
    const bytes = patterned(4 * MIB, 'with creation')
    // Of a length that is not declared: one that is would have been refused without an upload.
    await disk.leaveFree(3 * MIB)
    const answer = await tusRequest(landfall, 'alice', {
      method: 'POST',
      headers: { 'Upload-Defer-Length': '1', 'Content-Type': OFFSET_STREAM },
      body: bytes,
    })
    // Who gets no address cannot resume, and would fill up the number of open uploads by trying again.
    expect(answer.status).toBe(201)
    const kept = Number(answer.headers['upload-offset'])
    expect(kept).toBeGreaterThan(2 * MIB)
    expect(kept).toBeLessThanOrEqual(3 * MIB)
    const id = answer.headers.location?.split('/').at(-1) ?? ''
    expectFull(await append(id, kept, bytes.subarray(kept)))
    expect(await offsetOf(id)).toBe(kept)
    await disk.leaveFree(PLENTY)
    // That there is room again is known a second later.
    await expect.poll(async () => (await declared(id, kept, bytes)).status, { timeout: 10_000 }).toBe(204)
    expect((await storedOf(id)).equals(bytes)).toBe(true)
  })

  it('harms none of several uploads at once: each keeps what was acknowledged and ends up whole', async () => {
    const files = Array.from({ length: 6 }, (_, index) => patterned(MIB + index, `several ${index}`))
    const ids: string[] = []
    for (const file of files) ids.push(await newUpload(file.length))
    await disk.leaveFree(3 * MIB)
    const send = (offsets: readonly number[]) =>
      Promise.all(
        files.map((file, index) =>
          append(ids[index] ?? '', offsets[index] ?? 0, file.subarray(offsets[index])),
        ),
      )
    const answers = await send(files.map(() => 0))
    expect(answers.filter(({ status }) => status === 507).length).toBeGreaterThanOrEqual(3)
    for (const answer of answers) if (answer.status !== 204) expectFull(answer)
    const offsets = await Promise.all(ids.map(offsetOf))
    for (const [index, file] of files.entries()) {
      const offset = offsets[index] ?? Number.NaN
      if (answers[index]?.status === 204) expect(offset).toBe(file.length)
      const stored = offset === 0 ? Buffer.alloc(0) : await storedOf(ids[index] ?? '')
      expect(stored.equals(file.subarray(0, offset))).toBe(true)
    }

    await disk.leaveFree(PLENTY)
    expect((await send(offsets)).map(({ status }) => status)).toEqual(files.map(() => 204))
    for (const [index, file] of files.entries()) {
      const id = ids[index] ?? ''
      expect(await statusOf(landfall, 'alice', id)).toMatchObject({ state: 'received' })
      expect((await storedOf(id)).equals(file)).toBe(true)
    }
  })

  it('is no verdict: a file whose thumbnail cannot be written waits for space, and is ready then', async () => {
    const file = await jpeg({ width: 1600, height: 900 })
    const bytes = await readFile(file.path)
    const id = await createId(landfall, 'alice', { size: bytes.length, metadata: { filename: file.name } })
    expect((await append(id, 0, bytes)).status).toBe(204)
    await disk.leaveFree(0)
    await start(landfall)

    const { mediaId } = await statusOf(landfall, 'alice', id)
    const attempts = () =>
      landfall.db
        .selectFrom('landfall.processing_steps')
        .select(['step', 'status'])
        .where('media_id', '=', asMediaId(mediaId ?? ''))
        .where('step', '=', 'thumbnail')
        .execute()
    // More than once: it must not be worn down by trying again either.
    await untilWaiting(landfall, mediaId, { times: 3 })
    // Nor is it an attempt of which a record is kept.
    expect((await attempts()).filter(({ status }) => status !== 'running')).toEqual([])
    const media = (await (await landfall.as('alice')(`/api/v1/media/${mediaId}`)).json()) as MediaJson
    expect(media).toMatchObject({ status: 'processing', reason: null, contentUrl: null })
    expect((await storedOf(id)).equals(bytes)).toBe(true)
    // Nothing half written is left to take the little space there will be.
    expect(await landfall.stored.keys()).toEqual([`uploads/${id}`])

    await disk.leaveFree(PLENTY)
    expect(await outcome(landfall, 'alice', id)).toMatchObject({ status: 'ready', sha256: file.sha256 })
    const thumbnail = await landfall.as('alice')(`/api/v1/media/${mediaId}/thumbnail`)
    expect([thumbnail.status, thumbnail.headers.get('Content-Type')]).toEqual([200, 'image/webp'])
    await thumbnail.arrayBuffer()
  })

  const mediaOf = async (mediaId: string | null) =>
    (await (await landfall.as('alice')(`/api/v1/media/${mediaId}`)).json()) as MediaJson

  it('is no verdict either where a public copy has no room to be written', async () => {
    const sound = await madeByFfmpeg('half-a-minute.wav', [
      ...['-f', 'lavfi', '-i', 'anoisesrc=duration=30:sample_rate=44100', '-c:a', 'pcm_s16le'],
    ])
    const bytes = await readFile(sound.path)
    const id = await createId(landfall, 'alice', { size: bytes.length, metadata: { filename: sound.name } })
    expect((await append(id, 0, bytes)).status).toBe(204)
    // Enough for the waveform.
    await disk.leaveFree(MIB)
    // A sandbox does not see a file system that only the holder of the disk has.
    await start(landfall, { PUBLISH: 'copy', PUBLIC_PREFIX: 'public/', TOOL_SANDBOX: 'off' })
    const { mediaId } = await statusOf(landfall, 'alice', id)
    await untilWaiting(landfall, mediaId, { times: 2 })
    const media = (await (await landfall.as('alice')(`/api/v1/media/${mediaId}`)).json()) as MediaJson
    expect(media).toMatchObject({ status: 'processing', reason: null })
    await expect.poll(() => filesBelow(join(disk.directory, 'scratch')).catch(() => [])).toEqual([])

    await disk.leaveFree(PLENTY)
    expect(await outcome(landfall, 'alice', id)).toMatchObject({ status: 'ready', sha256: sound.sha256 })
    expect(await landfall.stored.keys()).toContain(`public/${mediaId}.wav`)
  })

  it('does not come of a public copy: that has half of what is free, is waited for an hour, and then gone without', async () => {
    const sound = await madeByFfmpeg('for-a-copy.wav', [
      ...['-f', 'lavfi', '-i', 'anoisesrc=duration=30:sample_rate=44100', '-c:a', 'pcm_s16le'],
    ])
    const bytes = await readFile(sound.path)
    const received = async () => {
      const id = await createId(landfall, 'alice', { size: bytes.length, metadata: { filename: sound.name } })
      expect((await append(id, 0, bytes)).status).toBe(204)
      return { id, mediaId: (await statusOf(landfall, 'alice', id)).mediaId }
    }
    const first = await received()
    // The copy would have its room, but nobody else any of it.
    await disk.leaveFree(6 * MIB)
    await start(landfall, { PUBLISH: 'copy', PUBLIC_PREFIX: 'public/', TOOL_SANDBOX: 'off' })
    await untilWaiting(landfall, first.mediaId, { times: 2 })
    expect(await disk.free()).toBeGreaterThan(5 * MIB)
    expect(await filesBelow(join(disk.directory, 'scratch')).catch(() => [])).toEqual([])
    const waited = { roomSince: Date.now() - 3_600_000 }
    const haveWaited = async () => {
      // One that has its turn at the moment is put back as it was.
      await sql`
        update pgboss.job set data = data || ${JSON.stringify(waited)}::jsonb
         where data ->> 'mediaId' = ${first.mediaId} and data ->> 'roomSince' is not null
           and state in ('created', 'retry')`.execute(landfall.db)
      return (await mediaOf(first.mediaId)).status
    }
    await expect.poll(haveWaited, { timeout: 60_000, interval: 500 }).toBe('ready')
    expect(await outcome(landfall, 'alice', first.id)).toMatchObject({
      status: 'ready',
      sha256: sound.sha256,
    })
    const { rows } = await sql<{ skipped: string }>`
      select detail ->> 'skipped' as skipped from landfall.processing_steps
       where media_id = ${first.mediaId} and step = 'publish' and status = 'done'`.execute(landfall.db)
    expect(rows).toEqual([{ skipped: expect.stringContaining('no room for it on the disk for 60 minutes') }])
    expect(await landfall.stored.keys()).not.toContain(`public/${first.mediaId}.wav`)

    // What others have only declared keeps nobody waiting.
    await disk.leaveFree(PLENTY)
    await createId(landfall, 'bob', { size: 5 * MIB })
    const second = await received()
    expect(await outcome(landfall, 'alice', second.id)).toMatchObject({ status: 'ready' })
    expect(await landfall.stored.keys()).toContain(`public/${second.mediaId}.wav`)
  })
})
