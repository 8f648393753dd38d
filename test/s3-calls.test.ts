import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { requires } from './services/requirements.ts'
import { asUploadId } from './support/ids.ts'
import { type S3Landfall, startS3Landfall, videoOfSize } from './support/s3-landfall.ts'
import { create, createId, head, patch, terminate } from './support/tus.ts'
import { outcome } from './support/uploads.ts'

const ceph = requires('ceph')
const ffmpeg = requires('ffmpeg')
const clamd = requires('clamd')
const MIB = 1024 * 1024
const AS_VIDEO = { metadata: { filename: 'a.mp4', filetype: 'video/mp4' } }

/** What one upload costs at the bucket, counted on the way there. */
describe.skipIf(!ceph.met || !ffmpeg.met || !clamd.met)('calls of S3', () => {
  let landfall: S3Landfall
  beforeAll(async () => {
    landfall = await startS3Landfall()
  })
  afterAll(() => landfall?.close())
  beforeEach(() => landfall.proxy.reset())

  /** Of this upload, or of all. */
  const operations = (id = '') =>
    landfall.proxy.calls.filter((call) => call.key.includes(id)).map((call) => call.operation)
  /** The calls of one more step. */
  const during = async (id: string, work: () => Promise<unknown>): Promise<string[]> => {
    landfall.proxy.reset()
    await work()
    return operations(id)
  }
  /** What the worker does to the object before it reads it. */
  const ofFinishing = (id: string) => {
    const all = operations(id)
    const firstRead = all.indexOf('GetObject')
    return all.slice(0, firstRead < 0 ? undefined : firstRead)
  }

  it('creation and HEAD need none', async () => {
    const id = await createId(landfall, 'alice', { size: 20 * MIB, ...AS_VIDEO })
    expect((await head(landfall, 'alice', id)).status).toBe(200)
    expect((await create(landfall, 'alice', { size: 10 * MIB, ...AS_VIDEO })).status).toBe(201)
    expect(operations()).toEqual([])
  })

  it.each([5, 8, 16])('an aligned PATCH of %i MiB needs one, the first two, finishing two', async (mib) => {
    const chunk = mib * MIB
    const bytes = await videoOfSize(4 * chunk, `aligned ${mib}`)
    const id = await createId(landfall, 'alice', { size: bytes.length, ...AS_VIDEO })
    const append = async (offset: number) => {
      const answer = await patch(landfall, 'alice', id, {
        offset,
        body: bytes.subarray(offset, offset + chunk),
      })
      expect(answer.status).toBe(204)
    }
    expect(await during(id, () => append(0))).toEqual(['CreateMultipartUpload', 'UploadPart'])
    expect(await during(id, () => head(landfall, 'alice', id))).toEqual([])
    expect(await during(id, () => append(chunk))).toEqual(['UploadPart'])
    expect(await during(id, () => append(2 * chunk))).toEqual(['UploadPart'])
    landfall.proxy.reset()
    await append(3 * chunk)
    expect((await outcome(landfall, 'alice', id)).status).toBe('ready')
    expect(ofFinishing(id)).toEqual(['UploadPart', 'CompleteMultipartUpload', 'HeadObject'])
  })

  it('a last PATCH that fills no part needs one as well', async () => {
    const bytes = await videoOfSize(12 * MIB + 17, 'short last part')
    const id = await createId(landfall, 'alice', { size: bytes.length, ...AS_VIDEO })
    for (const offset of [0, 5 * MIB]) {
      await patch(landfall, 'alice', id, { offset, body: bytes.subarray(offset, offset + 5 * MIB) })
    }
    landfall.proxy.reset()
    await patch(landfall, 'alice', id, { offset: 10 * MIB, body: bytes.subarray(10 * MIB) })
    expect((await outcome(landfall, 'alice', id)).status).toBe('ready')
    expect(ofFinishing(id)).toEqual(['UploadPart', 'CompleteMultipartUpload', 'HeadObject'])
  })

  it.each([200_000, 7 * MIB, 20 * MIB])(
    'a file of %i bytes in one PATCH needs two in all, and no multipart upload',
    async (size) => {
      const bytes = await videoOfSize(size, `whole ${size}`)
      const id = await createId(landfall, 'alice', { size, ...AS_VIDEO })
      expect((await patch(landfall, 'alice', id, { offset: 0, body: bytes })).status).toBe(204)
      expect((await outcome(landfall, 'alice', id)).status).toBe('ready')
      expect(ofFinishing(id)).toEqual(['PutObject', 'HeadObject'])
      expect(operations(id)).not.toContain('CreateMultipartUpload')
    },
  )

  it('a file that comes with its creation needs two in all', async () => {
    const bytes = await videoOfSize(200_000, 'with creation')
    const id = await createId(landfall, 'alice', { size: bytes.length, body: bytes, ...AS_VIDEO })
    expect((await outcome(landfall, 'alice', id)).status).toBe('ready')
    expect(ofFinishing(id)).toEqual(['PutObject', 'HeadObject'])
  })

  it('a file in one large PATCH needs a call a part', async () => {
    const bytes = await videoOfSize(100 * MIB, 'large')
    const id = await createId(landfall, 'alice', { size: bytes.length, ...AS_VIDEO })
    expect((await patch(landfall, 'alice', id, { offset: 0, body: bytes })).status).toBe(204)
    expect((await outcome(landfall, 'alice', id)).status).toBe('ready')
    expect(ofFinishing(id).sort()).toEqual(
      [
        'CompleteMultipartUpload',
        'CreateMultipartUpload',
        'HeadObject',
        ...Array(13).fill('UploadPart'),
      ].sort(),
    )
  })

  it('termination needs at most two, and leaves nothing', async () => {
    const bytes = await videoOfSize(12 * MIB, 'to terminate')
    const sent = async (upTo: number[]): Promise<string> => {
      const id = await createId(landfall, 'bob', { size: bytes.length, ...AS_VIDEO })
      let offset = 0
      for (const end of upTo) {
        expect((await patch(landfall, 'bob', id, { offset, body: bytes.subarray(offset, end) })).status).toBe(
          204,
        )
        offset = end
      }
      return id
    }
    const isGone = async (id: string) => {
      const upload = await landfall.db
        .selectFrom('landfall.uploads')
        .selectAll()
        .where('id', '=', asUploadId(id))
        .executeTakeFirstOrThrow()
      const keys = (await landfall.bucket.keys()).filter((key) => key.startsWith(upload.storage_key))
      const open = (await landfall.bucket.openMultiparts()).filter(({ key }) => key === upload.storage_key)
      return keys.length === 0 && open.length === 0
    }
    for (const upTo of [[], [1 * MIB], [5 * MIB], [5 * MIB, 6 * MIB]]) {
      const id = await sent(upTo)
      expect(await isGone(id)).toBe(upTo.length === 0)
      landfall.proxy.reset()
      expect((await terminate(landfall, 'bob', id)).status).toBe(204)
      // The worker removes what there is; of nothing it still tries the one key there might be.
      await expect
        .poll(() => operations(id).length + operations().filter((one) => one === 'DeleteObjects').length, {
          timeout: 10_000,
        })
        .toBeGreaterThan(0)
      await expect.poll(() => isGone(id), { timeout: 10_000 }).toBe(true)
      expect(operations(id).length).toBeLessThanOrEqual(2)
    }
  })
})
