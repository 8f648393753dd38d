import { createHash } from 'node:crypto'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { headroomOf } from '../storage/disk/room.ts'
import { requires } from './services/requirements.ts'
import { asOwnerId } from './support/ids.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { parseFigures } from './support/prometheus.ts'
import { type Answer, OFFSET_STREAM, openPatch, problemOf, tusRequest } from './support/raw-http.ts'
import { patterned } from './support/s3-landfall.ts'
import { openSmallDisk, type SmallDisk } from './support/small-disk.ts'
import { NOTHING_USED, quotaOf, statusOf } from './support/status.ts'
import { create, createId, head, idOf, metadataHeader, patch, terminate } from './support/tus.ts'
import { tusJsUpload } from './support/tus-js-client.ts'

const tmpfs = requires('tmpfs')
const MIB = 1024 * 1024
const DISK = 32 * MIB
const HEADROOM = headroomOf({ totalBytes: DISK })

describe.skipIf(!tmpfs.met)('the room on a disk', () => {
  let disk: SmallDisk
  let landfall: Landfall
  const undo: (() => Promise<unknown>)[] = []

  beforeEach(async () => {
    disk = await openSmallDisk(DISK)
    undo.push(disk.close)
    landfall = await start()
  })
  afterEach(async () => {
    for (const release of undo.splice(0).reverse()) await release()
  })

  async function start(beside?: Landfall): Promise<Landfall> {
    const env = { UPLOAD_MAX_OPEN: '100', SCAN: 'off' }
    const place = beside ? { beside } : { dataDirectory: disk.directory }
    const node = await startLandfall({ ...place, env, withoutWorker: true })
    undo.push(node.close)
    return node
  }
  /** Leaves so much for uploads. */
  const leaveRoom = (bytes: number) => disk.leaveFree(HEADROOM + bytes)
  const refusal = async (answer: Response) => {
    const { code } = (await answer.json()) as { code: string }
    return [answer.status, code, answer.headers.get('Retry-After')]
  }
  const FULL = [507, 'storage-full', '60']
  const expectFull = (answer: Answer) =>
    expect([answer.status, problemOf(answer).code]).toEqual([507, 'storage-full'])
  const deferred = async (node = landfall) =>
    idOf(
      await fetch(`${node.url}/files`, {
        method: 'POST',
        headers: {
          Authorization: `Bearer ${node.token('alice')}`,
          'Tus-Resumable': '1.0.0',
          'Upload-Defer-Length': '1',
        },
      }),
    )
  const send = (id: string, headers: Record<string, string>, body: Uint8Array) =>
    tusRequest(landfall, 'alice', {
      method: 'PATCH',
      at: id,
      headers: { 'Content-Type': OFFSET_STREAM, ...headers },
      body,
    })

  it('is not given to a creation that is longer, which leaves nothing behind', async () => {
    await leaveRoom(4 * MIB)
    expect(await refusal(await create(landfall, 'alice', { size: 4 * MIB + 1 }))).toEqual(FULL)
    expect(await quotaOf(landfall, 'alice')).toEqual(NOTHING_USED)
    expect(await landfall.db.selectFrom('landfall.uploads').select('id').execute()).toEqual([])
    const withBytes = await create(landfall, 'alice', { size: 5 * MIB, body: Buffer.alloc(1024) })
    expect(await refusal(withBytes)).toEqual(FULL)
    expect((await create(landfall, 'alice', { size: 3 * MIB })).status).toBe(201)
  })

  it('is not given by the other protocol either', async () => {
    await leaveRoom(4 * MIB)
    const answer = await fetch(`${landfall.url}/files`, {
      method: 'POST',
      headers: {
        Authorization: `Bearer ${landfall.token('alice')}`,
        'Upload-Draft-Interop-Version': '8',
        'Upload-Complete': '?0',
        'Upload-Length': String(6 * MIB),
      },
    })
    expect([...(await refusal(answer)), answer.headers.get('Location')]).toEqual([...FULL, null])
  })

  it('is what others have not reserved, on whichever node, and what arrives counts once', async () => {
    const other = await start(landfall)
    await leaveRoom(12 * MIB)
    const id = await createId(other, 'bob', { size: 8 * MIB })
    expect(await refusal(await create(landfall, 'alice', { size: 5 * MIB }))).toEqual(FULL)
    for (const offset of [0, 2 * MIB, 4 * MIB]) {
      const sent = await patch(other, 'bob', id, { offset, body: patterned(2 * MIB, 'bob') })
      expect(sent.status).toBe(204)
      expect(await refusal(await create(landfall, 'alice', { size: 5 * MIB }))).toEqual(FULL)
      const mine = await createId(landfall, 'alice', { size: 3 * MIB })
      expect((await terminate(landfall, 'alice', mine)).status).toBe(204)
    }
  })

  it('counts bytes once that wait for their checksum, on every node, and is given back when they do not count', async () => {
    const nodes = [landfall, await start(landfall)]
    await leaveRoom(12 * MIB)
    const id = await createId(landfall, 'bob', { size: 8 * MIB })
    const body = patterned(8 * MIB, 'checked')
    const sent = openPatch(landfall, 'bob', id, {
      offset: 0,
      headers: { 'Upload-Checksum': `sha256 ${createHash('sha256').update(body).digest('base64')}` },
    })
    await sent.send(body.subarray(0, 7 * MIB))
    const before = HEADROOM + 12 * MIB
    const isWritten = async () => (await disk.free()) <= before - 6.5 * MIB
    await expect.poll(isWritten, { timeout: 10_000 }).toBe(true)
    for (const node of nodes) {
      expect(await refusal(await create(node, 'alice', { size: 5 * MIB }))).toEqual(FULL)
      const mine = await createId(node, 'alice', { size: 3 * MIB })
      expect((await terminate(node, 'alice', mine)).status).toBe(204)
    }
    sent.disconnect()
    // Before its client comes back, and whether it does.
    await expect.poll(() => disk.free(), { timeout: 10_000 }).toBe(before)
    expect((await head(landfall, 'bob', id)).headers.get('Upload-Offset')).toBe('0')
    expect(await refusal(await create(landfall, 'alice', { size: 5 * MIB }))).toEqual(FULL)
    expect((await create(landfall, 'alice', { size: 3 * MIB })).status).toBe(201)
    expect((await patch(landfall, 'bob', id, { offset: 0, body })).status).toBe(204)
  })

  it('is no matter for who has no quota for it: that is what they are told, and others have the room', async () => {
    await landfall.db
      .insertInto('landfall.quotas')
      .values({ owner_id: asOwnerId('mallory'), bytes_limit: 4 * MIB, uploads_limit: null })
      .execute()
    await leaveRoom(8 * MIB)
    const overQuota = async (size: number) =>
      expect(await refusal(await create(landfall, 'mallory', { size }))).toEqual([
        413,
        'quota-bytes-exceeded',
        null,
      ])
    for (const size of [5 * MIB, 8 * MIB, 20 * MIB]) await overQuota(size)
    let isOver = false
    const flood = Array.from({ length: 4 }, async () => {
      while (!isOver) await overQuota(8 * MIB)
    })
    for (let index = 0; index < 20; index++) {
      const id = await createId(landfall, 'alice', { size: 7 * MIB })
      expect((await terminate(landfall, 'alice', id)).status).toBe(204)
    }
    isOver = true
    await Promise.all(flood)
  })

  it('is not what the scratch folder of a worker may still need', async () => {
    await leaveRoom(8 * MIB)
    const folder = join(disk.directory, 'scratch', 'a-media-item', `a-folder.${6 * MIB}`)
    await mkdir(folder, { recursive: true })
    await writeFile(join(folder, 'stripped-0'), Buffer.alloc(MIB))
    // Of the 8 MiB one is written, and five are still to come.
    expect(await refusal(await create(landfall, 'alice', { size: 3 * MIB }))).toEqual(FULL)
    const id = await createId(landfall, 'alice', { size: MIB })
    expect((await terminate(landfall, 'alice', id)).status).toBe(204)
    await rm(folder, { recursive: true })
    expect((await create(landfall, 'alice', { size: 6 * MIB })).status).toBe(201)
  })

  it('comes back when an upload is terminated', async () => {
    await leaveRoom(6 * MIB)
    const id = await createId(landfall, 'bob', { size: 5 * MIB })
    expect(await refusal(await create(landfall, 'alice', { size: 5 * MIB }))).toEqual(FULL)
    expect((await terminate(landfall, 'bob', id)).status).toBe(204)
    expect((await create(landfall, 'alice', { size: 5 * MIB })).status).toBe(201)
  })

  it('comes back when an upload expires, before anybody has removed it', async () => {
    await leaveRoom(6 * MIB)
    const id = await createId(landfall, 'bob', { size: 5 * MIB })
    await landfall.db
      .updateTable('landfall.uploads')
      .set({ expires_at: new Date(0) })
      .where('id', '=', id)
      .execute()
    expect((await create(landfall, 'alice', { size: 5 * MIB })).status).toBe(201)
  })

  it('is given to no more of many at once than it has, and those fill it to the last byte', async () => {
    await leaveRoom(10 * MIB)
    const owners = Array.from({ length: 24 }, (_, index) => `owner-${index}`)
    const answers = await Promise.all(owners.map((owner) => create(landfall, owner, { size: MIB })))
    const admitted = owners.filter((_, index) => answers[index]?.status === 201)
    expect(admitted).toHaveLength(10)
    for (const answer of answers) if (answer.status !== 201) expect(await refusal(answer)).toEqual(FULL)
    const sent = await Promise.all(
      admitted.map((owner) => {
        const answer = answers[owners.indexOf(owner)]
        if (!answer) throw new Error('it was not created')
        return patch(landfall, owner, idOf(answer), { offset: 0, body: patterned(MIB, owner) })
      }),
    )
    expect(sent.map(({ status }) => status)).toEqual(admitted.map(() => 204))
  })

  it('is asked for by an upload of deferred length when that is declared', async () => {
    await leaveRoom(6 * MIB)
    const id = await deferred()
    const first = patterned(MIB, 'first')
    expect((await send(id, { 'Upload-Offset': '0' }, first)).status).toBe(204)
    const declared = { 'Upload-Offset': String(MIB), 'Upload-Length': String(7 * MIB) }
    expectFull(await send(id, declared, first))
    expect(await statusOf(landfall, 'alice', id)).toMatchObject({ state: 'open', size: null, offset: MIB })
    // The part that is there already needs no room once more.
    expect((await send(id, { ...declared, 'Upload-Length': String(6 * MIB) }, first)).status).toBe(204)
    expect(await refusal(await create(landfall, 'bob', { size: MIB }))).toEqual(FULL)
    expect((await send(id, { 'Upload-Offset': String(2 * MIB) }, patterned(4 * MIB, 'rest'))).status).toBe(
      204,
    )
    expect(await statusOf(landfall, 'alice', id)).toMatchObject({ state: 'received' })
  })

  it('is kept by the headroom from uploads of deferred length, and not from those that have declared theirs', async () => {
    const id = await deferred()
    const size = HEADROOM
    const other = await createId(landfall, 'alice', { size })
    await disk.leaveFree(HEADROOM + 100_000)
    const bytes = patterned(1000, 'undeclared')
    let offset = 0
    const more = async () => {
      const answer = await send(id, { 'Upload-Offset': String(offset) }, bytes)
      if (answer.status === 204) offset += bytes.length
      return answer
    }
    // What was free a second ago is no news to it.
    await expect.poll(async () => (await more()).status, { timeout: 10_000 }).toBe(507)
    expectFull(await more())
    expect((await head(landfall, 'alice', id)).headers.get('Upload-Offset')).toBe(String(offset))
    expect((await send(other, { 'Upload-Offset': '0' }, patterned(size, 'other'))).status).toBe(204)
  })

  it('is needed once more by a final upload, which is put together beside its partials', async () => {
    const part = 4 * MIB
    const partials: string[] = []
    for (let index = 0; index < 2; index++) {
      const id = await createId(landfall, 'alice', { size: part, headers: { 'Upload-Concat': 'partial' } })
      expect((await patch(landfall, 'alice', id, { offset: 0, body: Buffer.alloc(part) })).status).toBe(204)
      partials.push(id)
    }
    const final = () =>
      fetch(`${landfall.url}/files`, {
        method: 'POST',
        headers: {
          Authorization: `Bearer ${landfall.token('alice')}`,
          'Tus-Resumable': '1.0.0',
          'Upload-Concat': `final;${partials.map((id) => `/files/${id}`).join(' ')}`,
          'Upload-Metadata': metadataHeader({ filename: 'clip.mp4' }),
        },
      })
    await leaveRoom(7 * MIB)
    expect(await refusal(await final())).toEqual(FULL)
    await leaveRoom(10 * MIB)
    expect((await final()).status).toBe(201)
    // Received, and not one file yet.
    expect(await refusal(await create(landfall, 'bob', { size: 3 * MIB }))).toEqual(FULL)
    expect((await create(landfall, 'bob', { size: MIB })).status).toBe(201)
  })

  it('that is missing is an error that tus-js-client tells after its own attempts', async () => {
    await leaveRoom(MIB)
    const { upload, requests, finished } = tusJsUpload(landfall, 'alice', Buffer.alloc(2 * MIB), {
      retryDelays: [10, 10],
    })
    upload.start()
    await expect(finished).rejects.toThrow(/response code: 507.*storage-full/s)
    expect(requests).toEqual(Array(3).fill('POST → 507'))
  })

  it('is told: `degraded` with a warning where little of it is left, and by metrics', async () => {
    const report = async () => (await (await fetch(`${landfall.url}/readyz`)).json()) as object
    expect(await report()).toMatchObject({ status: 'ready', checks: { disk: { status: 'ok' } } })
    await createId(landfall, 'bob', { size: 8 * MIB })
    await leaveRoom(7 * MIB)
    await expect.poll(report, { timeout: 10_000 }).toMatchObject({
      status: 'degraded',
      checks: { disk: { status: 'failing' }, storage: { status: 'ok' } },
      warnings: expect.arrayContaining([expect.stringContaining('nearly full')]),
    })
    expect((await fetch(`${landfall.url}/readyz`)).status).toBe(200)
    const { samples } = parseFigures(await (await fetch(`${landfall.url}/metrics`)).text())
    expect(samples.get('landfall_disk_free_bytes{place="storage"}')).toBe(await disk.free())
    expect(samples.get('landfall_disk_total_bytes{place="storage"}')).toBe(DISK)
    expect(samples.get('landfall_disk_reserved_bytes')).toBe(8 * MIB)
    expect(samples.get('landfall_stored_bytes{of="open"}')).toBe(0)
    expect(samples.get('landfall_dependency_up{dependency="disk"}')).toBe(0)
  })
})

describe.skipIf(!tmpfs.met)('a disk that can have no more files', () => {
  it('takes no new upload, though bytes are free', async () => {
    await using undo = new AsyncDisposableStack()
    const disk = await openSmallDisk(DISK, { files: 200 })
    undo.defer(disk.close)
    // Some get in before what was found a second ago is old; that is not to be a matter of their number.
    const env = { UPLOAD_MAX_OPEN: '10000' }
    const landfall = await startLandfall({ dataDirectory: disk.directory, env, withoutWorker: true })
    undo.defer(landfall.close)
    const id = await createId(landfall, 'alice', { size: 2000 })
    await mkdir(join(disk.directory, 'others'))
    for (let index = 0; ; index++) {
      try {
        await writeFile(join(disk.directory, 'others', String(index)), '')
      } catch {
        break
      }
    }
    await expect
      .poll(async () => (await create(landfall, 'alice', { size: 2000 })).status, { timeout: 10_000 })
      .toBe(507)
    const sent = await patch(landfall, 'alice', id, { offset: 0, body: patterned(2000, 'files') })
    expect([sent.status, ((await sent.json()) as { code: string }).code]).toEqual([507, 'storage-full'])
  })
})
