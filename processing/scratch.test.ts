import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { newMediaId } from '../ledger/ids.ts'
import { filesBelow } from '../test/support/leftovers.ts'
import { clearOldScratch, ScratchLost, withScratch } from './scratch.ts'

const DAY_MS = 86_400_000

let directory: string
let root: string
const id = newMediaId()

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'landfall-scratch-'))
  root = join(directory, 'scratch')
})
afterEach(() => rm(directory, { recursive: true, force: true }))

const leave = async (media: string, name: string, text = 'left') => {
  await mkdir(join(root, media, name), { recursive: true })
  await writeFile(join(root, media, name, 'file'), text)
}

describe('a scratch folder', () => {
  it('is empty, and gone with what was written when the work is done', async () => {
    const result = await withScratch(root, id, async (folder) => {
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
    const work = withScratch(root, id, async (folder) => {
      await writeFile(join(folder, 'file'), 'text')
      throw reason
    })
    await expect(work).rejects.toBe(reason)
    expect(await readdir(root)).toEqual([])
  })

  it('is made after what earlier workers have left of the same media was removed', async () => {
    const other = newMediaId()
    await leave(id, 'of-a-killed-worker')
    await leave(other, 'of-another-media')
    await withScratch(root, id, async () => {
      expect(await filesBelow(root)).toEqual([join(other, 'of-another-media', 'file')])
    })
    expect(await readdir(root)).toEqual([other])
  })

  it('that was taken away makes the work fail with that, and its heir is left alone', async () => {
    const taken = withScratch(root, id, async (folder) => {
      await withScratch(root, id, async (heir) => {
        await writeFile(join(heir, 'file'), 'text')
        await expect(writeFile(join(folder, 'file'), 'text')).rejects.toThrow('ENOENT')
      })
      await writeFile(join(folder, 'file'), 'text')
    })
    await expect(taken).rejects.toThrow(ScratchLost)
    expect(await readdir(root)).toEqual([])
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
