import { sql } from 'kysely'
import { afterEach, expect, it } from 'vitest'
import { newUploadId, type UploadId } from '../ledger/ids.ts'
import { requires } from './services/requirements.ts'
import { asUploadId } from './support/ids.ts'
import { type Landfall, type LandfallOptions, startLandfall } from './support/landfall.ts'
import { lockWaits } from './support/lock-waits.ts'
import { countedUsage, impliedUsage } from './support/quota.ts'
import { sha256Of, videoOfSize } from './support/s3-landfall.ts'
import { quotaOf } from './support/status.ts'
import { describeStorages } from './support/storages.ts'
import { leftIn } from './support/stored.ts'
import { create, createId, head, idOf, metadataHeader, patch, terminate } from './support/tus.ts'
import { outcome } from './support/uploads.ts'

const clamd = requires('clamd')
const MIB = 1024 * 1024
const NAMED = { 'Upload-Metadata': metadataHeader({ filename: 'clip.mp4', filetype: 'video/mp4' }) }

/** tus 1.0 § concatenation. */
describeStorages.skipIf(!clamd.met)('concatenated uploads', (storage) => {
  const undo: (() => unknown)[] = []
  afterEach(async () => {
    for (const release of undo.splice(0).reverse()) await release()
  })

  async function start(options: LandfallOptions = {}): Promise<Landfall> {
    const landfall = await startLandfall({ storage, ...options })
    undo.push(() => landfall.close())
    return landfall
  }
  const partial = (landfall: Landfall, size: number) =>
    createId(landfall, 'alice', { size, headers: { 'Upload-Concat': 'partial' } })
  const final = async (landfall: Landfall, ids: readonly string[], headers = NAMED) =>
    await fetch(`${landfall.url}/files`, {
      method: 'POST',
      headers: {
        Authorization: `Bearer ${landfall.token('alice')}`,
        'Tus-Resumable': '1.0.0',
        'Upload-Concat': `final;${ids.map((id) => `/files/${id}`).join(' ')}`,
        ...headers,
      },
    })
  const send = async (landfall: Landfall, id: string, body: Uint8Array) => {
    const answer = await patch(landfall, 'alice', id, { offset: 0, body })
    expect(answer.status).toBe(204)
    return answer
  }
  /** Uploads each piece as a partial of its own. */
  async function partials(landfall: Landfall, pieces: readonly Uint8Array[]): Promise<string[]> {
    const ids = await Promise.all(pieces.map((piece) => partial(landfall, piece.length)))
    await Promise.all(ids.map((id, index) => send(landfall, id, pieces[index] ?? new Uint8Array())))
    return ids
  }
  const cut = (bytes: Buffer, ...at: number[]) =>
    [0, ...at].map((from, index) => bytes.subarray(from, at[index] ?? bytes.length))
  const usageIsRight = async ({ db }: Landfall) =>
    expect(await countedUsage(db, ['alice'])).toEqual(await impliedUsage(db, ['alice']))

  it.each([
    ['of large pieces', 17 * MIB, [6 * MIB, 12 * MIB]],
    ['of pieces that are too small for parts of their own', 14 * MIB, [MIB, 2 * MIB, 8 * MIB]],
    ['of a small file', 300_000, [100_000, 200_001]],
  ])('become one file, %s', { timeout: 60_000 }, async (_, size, at) => {
    const landfall = await start()
    const video = await videoOfSize(size, 'concat')
    const ids = await partials(landfall, cut(video, ...at))
    const answer = await final(landfall, ids)
    expect(answer.status).toBe(201)
    const media = await outcome(landfall, 'alice', idOf(answer))
    expect([media.status, media.size, media.sha256]).toEqual(['ready', size, sha256Of(video)])
    const content = await landfall.as('alice')(`/api/v1/media/${media.id}/content`)
    expect(sha256Of(await content.bytes())).toBe(sha256Of(video))
    expect(await quotaOf(landfall, 'alice')).toEqual({
      bytes: { used: size, reserved: 0 },
      uploads: { finished: 1, open: 0 },
    })
    await usageIsRight(landfall)

    const seen = await head(landfall, 'alice', idOf(answer))
    expect(seen.headers.get('Upload-Concat')).toBe(`final;${ids.map((id) => `/files/${id}`).join(' ')}`)
    expect([seen.headers.get('Upload-Offset'), seen.headers.get('Upload-Length')]).toEqual([
      `${size}`,
      `${size}`,
    ])
  })

  it('are complete when the last of their partials is', { timeout: 60_000 }, async () => {
    const landfall = await start()
    const video = await videoOfSize(400_000, 'later')
    const pieces = cut(video, 150_000, 300_000)
    const ids = await Promise.all(pieces.map(({ length }) => partial(landfall, length)))
    const answer = await final(landfall, ids)
    expect([answer.status, answer.headers.get('Upload-Media-Id')]).toEqual([201, null])
    const before = await head(landfall, 'alice', idOf(answer))
    expect([before.headers.get('Upload-Offset'), before.headers.get('Upload-Length')]).toEqual([
      null,
      '400000',
    ])
    expect((await patch(landfall, 'alice', idOf(answer), { offset: 0, body: video })).status).toBe(403)
    await usageIsRight(landfall)

    // All at once: whichever commits last completes the file, once.
    await Promise.all(ids.map((id, index) => send(landfall, id, pieces[index] ?? new Uint8Array())))
    const after = await head(landfall, 'alice', idOf(answer))
    expect(after.headers.get('Upload-Offset')).toBe('400000')
    const media = await outcome(landfall, 'alice', idOf(answer))
    expect([media.status, media.sha256]).toEqual(['ready', sha256Of(video)])
    await usageIsRight(landfall)
  })

  it('may be two of one partial, which then counts twice', { timeout: 60_000 }, async () => {
    const landfall = await start({ withoutWorker: true })
    const [id = ''] = await partials(landfall, [Buffer.alloc(1200, 1)])
    const once = await final(landfall, [id])
    expect((await head(landfall, 'alice', idOf(once))).headers.get('Upload-Length')).toBe('1200')
    expect((await quotaOf(landfall, 'alice')).bytes).toEqual({ used: 1200, reserved: 0 })
    await final(landfall, [id])
    expect((await quotaOf(landfall, 'alice')).bytes).toEqual({ used: 2400, reserved: 0 })
    await usageIsRight(landfall)
  })

  it('name each partial once, a thousand at most, and nothing but partials', {
    timeout: 60_000,
  }, async () => {
    const landfall = await start({ withoutWorker: true })
    const [id = ''] = await partials(landfall, [Buffer.alloc(1200, 1)])
    const finished = idOf(await final(landfall, [id]))
    const said = async (concat: string) => {
      const answer = await final(landfall, [], { ...NAMED, 'Upload-Concat': concat } as typeof NAMED)
      return [answer.status, ((await answer.json()) as { code?: string }).code]
    }
    const strangers = (count: number) => Array.from({ length: count }, () => `/files/${newUploadId()}`)
    const refused = [400, 'invalid-concat']
    expect(await said(`final;/files/${id} /files/${id}`)).toEqual(refused)
    expect(await said(`final;/files/${id} ${landfall.url}/files/${id}`)).toEqual(refused)
    expect(await said(`final;/files/${id} https://elsewhere/any/files/${id}?once=more`)).toEqual(refused)
    expect(await said(`final;${`/files/${id} `.repeat(1000)}`)).toEqual(refused)
    expect(await said(`final;${strangers(1001).join(' ')}`)).toEqual(refused)
    expect(await said(`final;${strangers(1000).join(' ')}`)).toEqual(refused)
    expect(await said(`final;/files/${finished}`)).toEqual(refused)
    expect(await said(`final;/files/${id} /files/${finished}`)).toEqual(refused)
    expect(await said('final;')).toEqual([400, 'invalid-header'])
    expect(await said('final; ')).toEqual([400, 'invalid-header'])
    // The server's own bound on headers: nothing of it is read.
    expect((await said(`final;${`/files/${id} `.repeat(3000)}`).catch(() => [431]))[0]).toBe(431)
    await usageIsRight(landfall)
  })

  it('do not exceed the quota by partials that are used twice', async () => {
    const landfall = await start({ withoutWorker: true, env: { QUOTA_BYTES: '5000' } })
    const id = await partial(landfall, 2000)
    const finals = await Promise.all([final(landfall, [id]), final(landfall, [id]), final(landfall, [id])])
    expect(finals.map(({ status }) => status).toSorted()).toEqual([201, 201, 413])
    await send(landfall, id, Buffer.alloc(2000, 1))
    expect((await quotaOf(landfall, 'alice')).bytes).toEqual({ used: 4000, reserved: 0 })
    await usageIsRight(landfall)
  })

  it.each([
    ['whose length is said behind its last byte', false],
    ['behind which bytes were refused', true],
  ])('may be made of a partial %s', { timeout: 60_000 }, async (_, isDisturbed) => {
    const landfall = await start()
    const video = await videoOfSize(300_000, 'deferred')
    const created = await fetch(`${landfall.url}/files`, {
      method: 'POST',
      headers: {
        Authorization: `Bearer ${landfall.token('alice')}`,
        'Tus-Resumable': '1.0.0',
        'Upload-Concat': 'partial',
        'Upload-Defer-Length': '1',
      },
    })
    const id = idOf(created)
    await send(landfall, id, video)
    if (isDisturbed) {
      const wrong = { 'Upload-Checksum': `crc32 ${Buffer.alloc(4).toString('base64')}` }
      const refused = await patch(landfall, 'alice', id, { offset: 300_000, body: video, headers: wrong })
      expect(refused.status).toBe(460)
    }
    const declared = await patch(landfall, 'alice', id, {
      offset: 300_000,
      body: new Uint8Array(),
      headers: { 'Upload-Length': '300000' },
    })
    expect(declared.status).toBe(204)
    const answer = await final(landfall, [id])
    const media = await outcome(landfall, 'alice', idOf(answer))
    expect([media.status, media.sha256]).toEqual(['ready', sha256Of(video)])
    await usageIsRight(landfall)
  })

  it('are complete by the other protocol as well', { timeout: 60_000 }, async () => {
    const landfall = await start({ withoutWorker: true })
    const id = await partial(landfall, 2000)
    const answer = await final(landfall, [id])
    const appended = await fetch(`${landfall.url}/files/${id}`, {
      method: 'PATCH',
      headers: {
        Authorization: `Bearer ${landfall.token('alice')}`,
        'Upload-Offset': '0',
        'Upload-Complete': '?0',
        'Content-Type': 'application/partial-upload',
      },
      body: Buffer.alloc(2000, 1),
    })
    expect(appended.status).toBe(204)
    expect((await head(landfall, 'alice', idOf(answer))).headers.get('Upload-Offset')).toBe('2000')
    await usageIsRight(landfall)
  })

  it('release nothing twice when a partial ends as the last one is finished', {
    timeout: 60_000,
  }, async () => {
    const landfall = await start({ withoutWorker: true })
    const [first = '', second = '', third = ''] = await Promise.all([
      partial(landfall, 1000),
      partial(landfall, 1000),
      partial(landfall, 1000),
    ])
    await send(landfall, first, Buffer.alloc(1000, 1))
    const answer = await final(landfall, [first, second])
    // Held open in its middle: the partial is ended, and nobody sees it yet.
    const begun = Promise.withResolvers<void>()
    const ended = Promise.withResolvers<void>()
    const ending = landfall.db.transaction().execute(async (trx) => {
      await trx
        .updateTable('landfall.uploads')
        .set({ state: 'terminated' })
        .where('id', '=', asUploadId(first))
        .execute()
      begun.resolve()
      await ended.promise
      await sql`update landfall.quota_usage set reserved_bytes = reserved_bytes - 1000,
        open_partials = open_partials - 1 where owner_id = 'alice'`.execute(trx)
    })
    await begun.promise
    const finishing = send(landfall, second, Buffer.alloc(1000, 2))
    await expect.poll(() => lockWaits(landfall.db), { timeout: 10_000 }).toBeGreaterThan(0)
    ended.resolve()
    await Promise.all([ending, finishing])
    await usageIsRight(landfall)
    expect((await head(landfall, 'alice', idOf(answer))).headers.get('Upload-Offset')).toBeNull()
    expect((await terminate(landfall, 'alice', third)).status).toBe(204)
    await usageIsRight(landfall)
  })

  it('leave nothing when partials and finals are terminated, in any order', { timeout: 60_000 }, async () => {
    const landfall = await start()
    const video = await videoOfSize(6 * MIB, 'gone')
    const ids = await partials(landfall, cut(video, 3 * MIB))
    const waiting = await partial(landfall, 1000)
    const unfinished = await final(landfall, [...ids, waiting])
    for (const id of [ids[0] ?? '', idOf(unfinished), waiting, ids[1] ?? ''])
      expect((await terminate(landfall, 'alice', id)).status).toBe(204)
    await expect.poll(() => leftIn(landfall.stored), { timeout: 20_000 }).toEqual([])
    expect(await quotaOf(landfall, 'alice')).toEqual({
      bytes: { used: 0, reserved: 0 },
      uploads: { finished: 0, open: 0 },
    })
    await usageIsRight(landfall)
  })

  it('keep the bytes of a partial that is terminated right after them', { timeout: 60_000 }, async () => {
    const landfall = await start()
    const video = await videoOfSize(6 * MIB, 'kept')
    const ids = await partials(landfall, cut(video, 3 * MIB))
    const answer = await final(landfall, ids)
    await Promise.all(ids.map((id) => terminate(landfall, 'alice', id)))
    const media = await outcome(landfall, 'alice', idOf(answer))
    expect([media.status, media.sha256]).toEqual(['ready', sha256Of(video)])
  })

  it.each<[string, (landfall: Landfall) => Promise<Response>, number, string]>([
    ['nobody knows', (landfall) => final(landfall, ['AAAAAAAAAAAAAAAAAAAAAA']), 400, 'invalid-concat'],
    ['is no address', (landfall) => final(landfall, ['..%2f..']), 400, 'invalid-header'],
    [
      'is somebody else’s',
      async (landfall) =>
        final(landfall, [
          await createId(landfall, 'bob', { size: 2000, headers: { 'Upload-Concat': 'partial' } }),
        ]),
      400,
      'invalid-concat',
    ],
    [
      'is no partial one',
      async (landfall) => final(landfall, [await createId(landfall, 'alice', { size: 2000 })]),
      400,
      'invalid-concat',
    ],
    [
      'has ended',
      async (landfall) => {
        const id = await partial(landfall, 2000)
        await terminate(landfall, 'alice', id)
        return final(landfall, [id])
      },
      400,
      'invalid-concat',
    ],
    [
      'has a length of its own besides',
      async (landfall) =>
        final(landfall, [await partial(landfall, 2000)], { ...NAMED, 'Upload-Length': '2000' } as never),
      400,
      'invalid-header',
    ],
  ])('are refused when one %s', async (_, ask, status, code) => {
    const landfall = await start({ withoutWorker: true })
    const answer = await ask(landfall)
    expect([answer.status, ((await answer.json()) as { code: string }).code]).toEqual([status, code])
    await usageIsRight(landfall)
  })

  it('bound how many partials wait', async () => {
    const landfall = await start({ withoutWorker: true, env: { UPLOAD_MAX_OPEN: '1' } })
    for (let i = 0; i < 16; i++) await partial(landfall, 10)
    const answer = await create(landfall, 'alice', { size: 10, headers: { 'Upload-Concat': 'partial' } })
    expect(answer.status).toBe(429)
    // An empty partial makes room when it has been idle for five minutes.
    const waitSeconds = Number(answer.headers.get('Retry-After'))
    expect(waitSeconds).toBeGreaterThan(200)
    expect(waitSeconds).toBeLessThanOrEqual(300)
    // Whole uploads have their own number.
    await createId(landfall, 'alice', { size: 2000 })
    await usageIsRight(landfall)
  })

  it('are not offered as uploads to resume', async () => {
    const landfall = await start({ withoutWorker: true })
    const id = (await partial(landfall, 2000)) as UploadId
    const { items } = (await (await landfall.as('alice')('/api/v1/uploads?state=open')).json()) as {
      items: { id: string }[]
    }
    expect(items.map((upload) => upload.id)).not.toContain(id)
  })
})
