import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { newMediaId } from '../ledger/ids.ts'
import { scratchToCome } from '../storage/disk/scratch-claims.ts'
import { StorageFull } from '../storage/objects.ts'
import { filesBelow } from '../test/support/leftovers.ts'
import { clearOldScratch, type Scratch, ScratchLost, withScratch } from './scratch.ts'

const DAY_MS = 86_400_000

let directory: string
let root: string
let scratch: Scratch
const id = newMediaId()
const work = { name: id, bytes: 1000 }

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'landfall-scratch-'))
  root = join(directory, 'scratch')
  scratch = { root, space: { enter: async (make) => await make(() => true) } }
})
afterEach(() => rm(directory, { recursive: true, force: true }))

const leave = async (media: string, name: string, text = 'left') => {
  await mkdir(join(root, media, name), { recursive: true })
  await writeFile(join(root, media, name, 'file'), text)
}

describe('a scratch folder', () => {
  it('is empty, and gone with what was written when the work is done', async () => {
    const result = await withScratch(scratch, work, async (folder) => {
      expect(folder.startsWith(join(root, id))).toBe(true)
      expect(await readdir(folder)).toEqual([])
      await writeFile(join(folder, 'file'), 'text')
      return 'done'
    })
    expect(result).toBe('done')
    expect(await readdir(root)).toEqual([])
  })

  it('is gone when the work fails, with the reason as it was', async () => {
    const reason = new Error('no')
    const failing = withScratch(scratch, work, async (folder) => {
      await writeFile(join(folder, 'file'), 'text')
      throw reason
    })
    await expect(failing).rejects.toBe(reason)
    expect(await readdir(root)).toEqual([])
  })

  it('is made after what earlier workers have left of the same media was removed', async () => {
    const other = newMediaId()
    await leave(id, 'of-a-killed-worker')
    await leave(other, 'of-another-media')
    await withScratch(scratch, work, async () => {
      expect(await filesBelow(root)).toEqual([join(other, 'of-another-media', 'file')])
    })
    expect(await readdir(root)).toEqual([other])
  })

  it('that was taken away makes the work fail with that, and its heir is left alone', async () => {
    const taken = withScratch(scratch, work, async (folder) => {
      await withScratch(scratch, work, async (heir) => {
        await writeFile(join(heir, 'file'), 'text')
        await expect(writeFile(join(folder, 'file'), 'text')).rejects.toThrow('ENOENT')
      })
      await writeFile(join(folder, 'file'), 'text')
    })
    await expect(taken).rejects.toThrow(ScratchLost)
    expect(await readdir(root)).toEqual([])
  })
})

describe('the room for a scratch folder', () => {
  it('is asked for before anything is written: without it nothing is', async () => {
    const asked: number[] = []
    const full: Scratch = {
      root,
      space: {
        enter: async (make) =>
          await make((bytes) => {
            asked.push(bytes)
            return false
          }),
      },
    }
    const refused = withScratch(full, work, async () => {
      throw new Error('it has begun')
    })
    await expect(refused).rejects.toThrow(StorageFull)
    expect(asked).toEqual([1000])
    expect(await filesBelow(root).catch(() => [])).toEqual([])
  })

  it('is seen by all as long as the folder is there, less what is in it by then', async () => {
    await leave('other', 'older.500', 'left')
    await withScratch(scratch, work, async (folder) => {
      expect(await scratchToCome(root)).toBe(496 + 1000)
      await writeFile(join(folder, 'file'), Buffer.alloc(400))
      expect(await scratchToCome(root)).toBe(496 + 600)
      await writeFile(join(folder, 'file'), Buffer.alloc(1400))
      expect(await scratchToCome(root)).toBe(496)
    })
    expect(await scratchToCome(root)).toBe(496)
    expect(await scratchToCome(join(root, 'nowhere'))).toBe(0)
  })
})

describe('old scratch folders', () => {
  it('go when nothing in them was written for long', async () => {
    const old = new Date(Date.now() - 2 * DAY_MS)
    await leave('one', 'old')
    await leave('one', 'fresh')
    await leave('two', 'old')
    await leave('three', 'growing')
    for (const path of [
      'one/old/file',
      'one/old',
      'two/old/file',
      'two/old',
      'two',
      'three/growing',
      'three',
    ])
      await utimes(join(root, path), old, old)
    await clearOldScratch(root, DAY_MS)
    expect((await filesBelow(root)).toSorted()).toEqual(['one/fresh/file', 'three/growing/file'])
  })

  it('are none where nothing was ever transcoded', async () => {
    await clearOldScratch(root, DAY_MS)
    await expect(readdir(root)).rejects.toThrow('ENOENT')
  })
})
