import { describe, expect, it } from 'vitest'
import { FORMATS } from '../content/formats.ts'
import { ContentRejected } from '../content/verdict.ts'
import { inspectContent } from './pre-append.ts'

const limits = {
  maxDurationSeconds: 10,
  minWidth: 1,
  minHeight: 1,
  maxWidth: 4096,
  maxHeight: 4096,
  maxImagePixels: 100_000_000,
}
const policy = { accepted: { formats: FORMATS, others: [] }, limits }
const text = (bytes: number) => Buffer.alloc(bytes, 'no media at all ')

/** What passes of a body that comes in pieces of so many bytes, and what it fails of. */
async function pass(
  body: Buffer,
  upload: { size?: number | null; filename?: string | null } = {},
  pieceBytes = body.length,
): Promise<{ passed: Buffer; failure: unknown }> {
  async function* source() {
    for (let at = 0; at < body.length; at += pieceBytes) yield body.subarray(at, at + pieceBytes)
  }
  const { size = body.length, filename = null } = upload
  const passed: Uint8Array[] = []
  let failure: unknown
  try {
    for await (const chunk of inspectContent(source(), { size, filename, declared_type: null }, policy))
      passed.push(Buffer.from(chunk))
  } catch (error) {
    failure = error
  }
  return { passed: Buffer.concat(passed), failure }
}

/** A tag of so many bytes, as music has it in front. */
function id3(bytes: number): Buffer {
  const header = Buffer.from('ID3\x04\0\0')
  const size = Buffer.from([(bytes >> 21) & 127, (bytes >> 14) & 127, (bytes >> 7) & 127, bytes & 127])
  return Buffer.concat([header, size, Buffer.alloc(bytes)])
}

describe('the content of an upload', () => {
  it.each([1, 7, 4096, 100_000])(
    'is refused without a byte of it having passed, in pieces of %i',
    async (piece) => {
      const { passed, failure } = await pass(text(100_000), {}, piece)
      expect(failure).toBeInstanceOf(ContentRejected)
      expect((failure as ContentRejected).verdict.code).toBe('type-not-recognised')
      expect(passed).toHaveLength(0)
    },
  )

  it('is judged as a whole when that is shorter than what is looked at', async () => {
    expect((await pass(text(100))).failure).toBeInstanceOf(ContentRejected)
  })

  it.each([10, 1500, 4099])('is not judged by a fragment of %i bytes', async (bytes) => {
    const { passed, failure } = await pass(text(bytes), { size: 1_000_000 })
    expect([passed.length, failure]).toEqual([bytes, undefined])
  })

  it('is not judged by the tag in front of it', async () => {
    const song = Buffer.concat([id3(6000), Buffer.from('fLaC'), Buffer.alloc(5000)])
    expect((await pass(song, { filename: 'song.flac' })).failure).toBeUndefined()
    const tagged = Buffer.concat([id3(100), Buffer.from('fLaC'), Buffer.alloc(5000)])
    expect((await pass(tagged, { filename: 'song.flac' })).failure).toBeUndefined()
    expect((await pass(tagged, { filename: 'photo.png' })).failure).toBeInstanceOf(ContentRejected)
  })

  it('passes unchanged', async () => {
    const image = Buffer.concat([Buffer.from([0xff, 0xd8, 0xff, 0xe0]), text(50_000)])
    for (const piece of [1, 333, 50_004])
      expect((await pass(image, {}, piece)).passed.equals(image)).toBe(true)
  })
})
