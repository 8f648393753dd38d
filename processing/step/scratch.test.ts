import { mkdir, mkdtemp, readdir, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { newMediaId } from '../../ledger/ids.ts'
import { ScratchClaims } from '../../storage/disk/scratch-claims.ts'
import { ObjectTooLarge } from '../../storage/store/objects.ts'
import { filesBelow } from '../../test/support/leftovers.ts'
import {
  NoScratchSpace,
  removeAbandonedScratch,
  type Scratch,
  ScratchFull,
  ScratchLost,
  withScratch,
} from './scratch.ts'

const MINUTE_MS = 60_000

let directory: string
let root: string
let scratch: Scratch
const id = newMediaId()
const work = { name: id, bytes: 1000 }

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'landfall-scratch-'))
  root = join(directory, 'scratch')
  scratch = {
    root,
    space: {
      async enterScratch(_bytes, make) {
        await make()
        return 'made'
      },
    },
  }
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
  const never = async () => {
    throw new Error('it has begun')
  }
  const found = (entered: 'no-room' | 'never', waitsSince?: number) => {
    const asked: number[] = []
    const enterScratch = async (bytes: number) => {
      asked.push(bytes)
      return entered
    }
    return { asked, scratch: { root, space: { enterScratch }, waitsSince } satisfies Scratch }
  }

  it('is asked for before anything is written: without it nothing is', async () => {
    const { asked, scratch } = found('no-room')
    await expect(withScratch(scratch, work, never)).rejects.toThrow(ScratchFull)
    expect(asked).toEqual([1000])
    expect(await filesBelow(root).catch(() => [])).toEqual([])
  })

  it('is waited for an hour, and not at all where the disk never has so much: the file goes without then', async () => {
    const now = Date.now()
    const waiting = found('no-room', now - 59 * MINUTE_MS).scratch
    await expect(withScratch(waiting, work, never)).rejects.toThrow(ScratchFull)
    for (const { scratch } of [found('no-room', now - 60 * MINUTE_MS), found('never')]) {
      const failing = withScratch(scratch, work, never)
      await expect(failing).rejects.toThrow(NoScratchSpace)
      // As of any other file that is too large.
      await expect(failing).rejects.toThrow(ObjectTooLarge)
    }
  })

  it('is waited for no longer where a write of the work is what finds none', async () => {
    const full = async () => {
      throw Object.assign(new Error('no room'), { code: 'ENOSPC' })
    }
    await expect(withScratch(scratch, work, full)).rejects.toThrow(ScratchFull)
    const waitsSince = Date.now() - 61 * MINUTE_MS
    await expect(withScratch({ ...scratch, waitsSince }, work, full)).rejects.toThrow(NoScratchSpace)
  })

  it('is seen by all as long as the folder is there, less what is in it by then', async () => {
    const figures = async (below = root) => await new ScratchClaims(below).figures()
    await leave('other', 'older.500', 'left')
    await withScratch(scratch, work, async (folder) => {
      expect(await figures()).toEqual({ written: 4, toCome: 496 + 1000 })
      await writeFile(join(folder, 'file'), Buffer.alloc(400))
      expect(await figures()).toEqual({ written: 404, toCome: 496 + 600 })
      await writeFile(join(folder, 'file'), Buffer.alloc(1400))
      expect(await figures()).toEqual({ written: 1404, toCome: 496 })
    })
    expect(await figures()).toEqual({ written: 4, toCome: 496 })
    expect(await figures(join(root, 'nowhere'))).toEqual({ written: 0, toCome: 0 })
  })

  it('is held as long as its job is at work, whatever that writes, and no longer', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    try {
      await withScratch(scratch, work, async (folder) => {
        const old = new Date(Date.now() - 11 * MINUTE_MS)
        await utimes(folder, old, old)
        expect((await new ScratchClaims(root).figures()).toCome).toBe(0)
        vi.advanceTimersByTime(MINUTE_MS)
        await expect.poll(async () => (await stat(folder)).mtimeMs > Number(old)).toBe(true)
        expect((await new ScratchClaims(root).figures()).toCome).toBe(1000)
        await removeAbandonedScratch(root)
        expect(await readdir(folder)).toEqual([])
      })
    } finally {
      vi.useRealTimers()
    }
  })

  it('counts as claimed where nobody may look into the folder, which is told once', async () => {
    const told: unknown[] = []
    const claims = new ScratchClaims(root, (error) => told.push(error))
    await leave('one', 'folder.500')
    await leave('two', 'other.70')
    // A name that cannot be opened, as a folder of another user cannot.
    await rm(join(root, 'one', 'folder.500'), { recursive: true })
    await symlink('folder.500', join(root, 'one', 'folder.500'))
    for (let n = 0; n < 2; n++) expect(await claims.figures()).toEqual({ written: 4, toCome: 500 + 66 })
    expect(told).toEqual([expect.objectContaining({ code: 'ELOOP' })])
  })
})

describe('old scratch folders', () => {
  it('go when nothing in them was written or touched for ten minutes; a day, where they are of an earlier release', async () => {
    const ago = async (minutes: number, ...paths: string[]) => {
      const at = new Date(Date.now() - minutes * MINUTE_MS)
      for (const path of paths) await utimes(join(root, path), at, at)
    }
    await leave('one', 'old.5')
    await leave('one', 'fresh.5')
    await leave('two', 'older')
    await leave('three', 'growing.5')
    await leave('four', 'old')
    await ago(11, 'one/old.5/file', 'one/old.5', 'three/growing.5', 'three', 'four/old/file', 'four/old')
    await ago(25 * 60, 'two/older/file', 'two/older', 'two')
    await removeAbandonedScratch(root)
    expect((await filesBelow(root)).toSorted()).toEqual([
      'four/old/file',
      'one/fresh.5/file',
      'three/growing.5/file',
    ])
  })

  it('are none where nothing was ever transcoded', async () => {
    await removeAbandonedScratch(root)
    await expect(readdir(root)).rejects.toThrow('ENOENT')
  })
})
