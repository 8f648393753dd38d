import { createHash } from 'node:crypto'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { NOTHING_USED, quotaOf } from './support/status.ts'
import { describeStorages } from './support/storages.ts'
import { create, createId, head, patch } from './support/tus.ts'

const MIB = 1024 * 1024
const checksum = (bytes: Uint8Array) => ({
  'Upload-Checksum': `sha256 ${createHash('sha256').update(bytes).digest('base64')}`,
})
const text = (bytes: number) => Buffer.alloc(bytes, 'no media at all ')

/** tus 1.0 § checksum, where the conformance suite does not look: what a wrong one leaves behind. */
describeStorages('a checksum', (storage) => {
  let landfall: Landfall
  beforeAll(async () => {
    landfall = await startLandfall({ storage, withoutWorker: true })
  })
  afterAll(() => landfall?.close())

  it('decides before the content does: what was damaged on its way is no evidence', async () => {
    const id = await createId(landfall, 'alice', { size: 6 * MIB })
    const body = text(6 * MIB)
    const damaged = await patch(landfall, 'alice', id, { offset: 0, body, headers: checksum(text(10)) })
    expect(damaged.status).toBe(460)
    expect((await head(landfall, 'alice', id)).headers.get('Upload-Offset')).toBe('0')
    const whole = await patch(landfall, 'alice', id, { offset: 0, body, headers: checksum(body) })
    expect(whole.status).toBe(415)
    expect((await head(landfall, 'alice', id)).status).toBe(410)
  })

  it('that is wrong with a creation leaves no upload that nobody knows of', async () => {
    const body = text(2000)
    const answer = await create(landfall, 'bob', { size: 2000, body, headers: checksum(text(10)) })
    expect([answer.status, answer.headers.get('Location')]).toEqual([460, null])
    expect(await quotaOf(landfall, 'bob')).toEqual(NOTHING_USED)
  })
})
