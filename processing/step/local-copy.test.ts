import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { LocalCopy } from './local-copy.ts'

const MIB = 1024 ** 2
const bytes = Buffer.alloc(3 * MIB, 'landfall ')
const inPieces = (pieceBytes: number, of = bytes) =>
  Readable.from(
    Array.from({ length: Math.ceil(of.length / pieceBytes) }, (_, n) =>
      of.subarray(n * pieceBytes, (n + 1) * pieceBytes),
    ),
  )

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'landfall-copy-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const media = { id: 'm', kind: 'video', size: bytes.length, storage_backend: 's3' } as Parameters<
  LocalCopy['keep']
>[0]
const copyWith = (answer: 'made' | 'no-room' | 'never', root = folder) =>
  new LocalCopy({
    root,
    space: {
      async enterScratch(_bytes: number, make: () => Promise<void>) {
        if (answer === 'made') await make()
        return answer
      },
    },
  })
const read = async (source: Readable) => Buffer.concat(await source.toArray())

describe('a copy', () => {
  it.each([1000, 65_536, 4 * MIB])('is what passed in pieces of %i bytes', async (pieceBytes) => {
    const copy = copyWith('made')
    const passing = await copy.keep(media, inPieces(pieceBytes))
    expect(copy.path).toBeUndefined()
    expect((await read(passing)).equals(bytes)).toBe(true)
    expect((await readFile(copy.path ?? '')).equals(bytes)).toBe(true)
    copy.drop()
    expect(copy.path).toBeUndefined()
    await copy.close()
    expect(await readdir(folder)).toEqual([])
  })

  it('does not count with fewer bytes than the file has, or where its reader stopped', async () => {
    const short = copyWith('made')
    await read(await short.keep({ ...media, size: bytes.length + 1 }, inPieces(65_536)))
    expect(short.path).toBeUndefined()
    const left = copyWith('made')
    for await (const _ of await left.keep(media, inPieces(65_536))) break
    expect(left.path).toBeUndefined()
    await Promise.all([short.close(), left.close()])
    expect(await readdir(folder)).toEqual([])
  })

  it('passes on the failure of what it reads', async () => {
    const copy = copyWith('made')
    async function* broken() {
      yield bytes.subarray(0, 1000)
      throw new Error('the bucket is away')
    }
    const passing = await copy.keep(media, Readable.from(broken()))
    await expect(passing.toArray()).rejects.toThrow('the bucket is away')
    expect(copy.path).toBeUndefined()
    await copy.close()
  })

  it('does without itself where it cannot be written', async () => {
    const copy = copyWith('made')
    const passing = await copy.keep(media, inPieces(65_536))
    await rm(folder, { recursive: true })
    expect((await read(passing)).equals(bytes)).toBe(true)
    await copy.close()
  })

  it('fails where its folder cannot be made, without holding anything up', async () => {
    const copy = copyWith('made', join(import.meta.filename, 'no-folder'))
    await expect(copy.keep(media, inPieces(65_536))).rejects.toThrow('ENOTDIR')
    await copy.close()
  })

  it.each<[string, Partial<typeof media>, 'made' | 'no-room' | 'never', boolean]>([
    ['a video in a bucket', {}, 'made', true],
    ['sound in a bucket', { kind: 'audio' }, 'made', true],
    ['an image', { kind: 'image' }, 'made', false],
    ['a file that is not known yet', { kind: null }, 'made', false],
    ['a file on disk', { storage_backend: 'disk' }, 'made', false],
    ['a small file', { size: 1000 }, 'made', false],
    ['a large file', { size: 3 * 1024 ** 3 }, 'made', false],
    ['no room at the moment', {}, 'no-room', false],
    ['no room ever', {}, 'never', false],
  ])('of %s', async (_what, more, answer, isMade) => {
    const copy = copyWith(answer)
    expect((await read(await copy.keep({ ...media, ...more }, inPieces(65_536)))).equals(bytes)).toBe(true)
    expect((await readdir(folder)).length > 0).toBe(isMade)
    await copy.close()
    expect(await readdir(folder)).toEqual([])
  })
})
