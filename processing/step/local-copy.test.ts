import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { LocalCopy, withLocalCopy } from './local-copy.ts'
import type { Scratch } from './scratch.ts'

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

describe('a copy', () => {
  it.each([1000, 65_536, 4 * MIB])('is what passed in pieces of %i bytes', async (pieceBytes) => {
    const copy = new LocalCopy(folder, bytes.length)
    const passing = copy.keep(inPieces(pieceBytes))
    expect(copy.path).toBeUndefined()
    expect(Buffer.concat(await passing.toArray()).equals(bytes)).toBe(true)
    expect((await readFile(copy.path ?? '')).equals(bytes)).toBe(true)
    copy.drop()
    expect(copy.path).toBeUndefined()
  })

  it('does not count with fewer bytes than the file has, or where its reader stopped', async () => {
    const short = new LocalCopy(folder, bytes.length + 1)
    await short.keep(inPieces(65_536)).toArray()
    expect(short.path).toBeUndefined()
    const left = new LocalCopy(folder, bytes.length)
    for await (const _ of left.keep(inPieces(65_536))) break
    expect(left.path).toBeUndefined()
  })

  it('passes on the failure of what it reads', async () => {
    const copy = new LocalCopy(folder, bytes.length)
    async function* broken() {
      yield bytes.subarray(0, 1000)
      throw new Error('the bucket is away')
    }
    await expect(copy.keep(Readable.from(broken())).toArray()).rejects.toThrow('the bucket is away')
    expect(copy.path).toBeUndefined()
  })

  it('does without itself where it cannot be written', async () => {
    const copy = new LocalCopy(join(folder, 'gone'), bytes.length)
    expect(Buffer.concat(await copy.keep(inPieces(65_536)).toArray()).equals(bytes)).toBe(true)
    expect(copy.path).toBeUndefined()
  })
})

describe('work with a copy', () => {
  const media = { id: 'm', kind: 'video', size: 3 * MIB, storage_backend: 's3' } as Parameters<
    typeof withLocalCopy
  >[1]
  const scratchWith = (answer: 'made' | 'no-room' | 'never'): Scratch => ({
    root: folder,
    space: {
      async enterScratch(_bytes: number, make: () => Promise<void>) {
        if (answer === 'made') await make()
        return answer
      },
    } as unknown as Scratch['space'],
  })

  it.each<[string, Partial<NonNullable<typeof media>>, 'made' | 'no-room' | 'never', boolean]>([
    ['a video in a bucket', {}, 'made', true],
    ['sound in a bucket', { kind: 'audio' }, 'made', true],
    ['an image', { kind: 'image' }, 'made', false],
    ['a file on disk', { storage_backend: 'disk' }, 'made', false],
    ['a small file', { size: 1000 }, 'made', false],
    ['a large file', { size: 3 * 1024 ** 3 }, 'made', false],
    ['no room at the moment', {}, 'no-room', false],
    ['no room ever', {}, 'never', false],
  ])('of %s', async (_what, more, answer, hasCopy) => {
    const seen: boolean[] = []
    const row = media && { ...media, ...more }
    await withLocalCopy(scratchWith(answer), row, async (copy) => void seen.push(copy !== undefined))
    expect(seen).toEqual([hasCopy])
    expect(await readdir(folder)).toEqual([])
  })

  it('fails as the work does, once', async () => {
    let times = 0
    const work = async () => {
      times += 1
      throw new Error('a step failed')
    }
    await expect(withLocalCopy(scratchWith('made'), media, work)).rejects.toThrow('a step failed')
    expect(times).toBe(1)
    expect(await readdir(folder)).toEqual([])
  })
})
