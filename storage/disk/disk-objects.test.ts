import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { ObjectMissing } from '../store/objects.ts'
import { DiskObjects } from './disk-objects.ts'

describe('objects on disk', () => {
  let directory: string
  let objects: DiskObjects

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'landfall-objects-'))
    objects = await DiskObjects.open(directory)
    await writeFile(join(directory, 'uploads', 'one'), 'one')
  })
  afterEach(async () => {
    vi.useRealTimers()
    await rm(directory, { recursive: true, force: true })
  })

  const textOf = (key: string) => readFile(join(directory, key), 'utf8')

  it('are read whole, or a range of them, whatever etag is asked for', async () => {
    expect(await buffer(await objects.read('uploads/one'))).toEqual(Buffer.from('one'))
    const part = await objects.read('uploads/one', { range: { start: 1, end: 1 }, etag: 'x' })
    expect(await buffer(part)).toEqual(Buffer.from('n'))
    await expect(objects.read('uploads/two')).rejects.toThrow(ObjectMissing)
  })

  it('are copied without their bytes, into directories that were not there', async () => {
    await objects.copy('uploads/one', 'public/alice/2026/08/one.txt')
    expect(await textOf('public/alice/2026/08/one.txt')).toBe('one')
    const [source, copy] = await Promise.all(
      ['uploads/one', 'public/alice/2026/08/one.txt'].map((key) => stat(join(directory, key))),
    )
    expect(copy?.ino).toBe(source?.ino)
    await objects.remove('uploads/one')
    expect(await textOf('public/alice/2026/08/one.txt')).toBe('one')
  })

  it('are copied over what was there, and over themselves, leaving nothing else', async () => {
    await writeFile(join(directory, 'uploads', 'two'), 'two')
    await objects.copy('uploads/one', 'public/copy')
    await objects.copy('uploads/one', 'public/copy')
    expect(await readdir(join(directory, 'public'))).toEqual(['copy'])
    await objects.copy('uploads/two', 'public/copy')
    expect(await textOf('public/copy')).toBe('two')
    expect(await textOf('uploads/one')).toBe('one')
    expect(await readdir(join(directory, 'public'))).toEqual(['copy'])
  })

  it('are not copied when they are not there, and nothing is made', async () => {
    await expect(objects.copy('uploads/two', 'public/copy')).rejects.toThrow(ObjectMissing)
    await expect(stat(join(directory, 'public'))).rejects.toThrow('ENOENT')
  })

  it('take the directory of a media’s renditions with them, and what was left there in mid-write', async () => {
    await objects.put('renditions/m/thumbnail.webp', Buffer.from('picture'))
    await writeFile(join(directory, 'renditions/m/thumbnail.webp.123.tmp'), 'half')
    await objects.remove('renditions/m/thumbnail.webp')
    expect(await readdir(join(directory, 'renditions'))).toEqual([])
    // One that was never recorded has perhaps never been stored.
    await mkdir(join(directory, 'renditions/n'))
    await objects.remove('renditions/n/thumbnail.webp')
    await objects.remove('renditions/o/thumbnail.webp')
    expect(await readdir(join(directory, 'renditions'))).toEqual([])
  })

  it('are put in the place of what was killed in mid-write, and beside what is still being written', async () => {
    const names = () => readdir(join(directory, 'renditions/m'))
    await mkdir(join(directory, 'renditions/m'))
    for (const name of ['image.123.tmp', 'image.jpg.123.tmp'])
      await writeFile(join(directory, 'renditions/m', name), 'half')
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 4_000 })
    await objects.put('renditions/m/image', Buffer.from('picture'))
    expect(await names()).toEqual(['image', 'image.123.tmp', 'image.jpg.123.tmp'])
    vi.setSystemTime(Date.now() + 2_000)
    await objects.put('renditions/m/image', Buffer.from('picture'))
    expect(await names()).toEqual(['image', 'image.jpg.123.tmp'])
  })

  it('are put from a file without room of their own, and stay when that goes, in the place of what was there', async () => {
    const file = join(directory, 'file')
    await objects.put('renditions/m/hls-1.mp4', Buffer.from('earlier'))
    await writeFile(file, 'video')
    await objects.putFile('renditions/m/hls-1.mp4', file)
    expect(await readdir(join(directory, 'renditions/m'))).toEqual(['hls-1.mp4'])
    expect((await stat(file)).nlink).toBe(2)
    await rm(file)
    expect(await textOf('renditions/m/hls-1.mp4')).toBe('video')
    await expect(objects.putFile('renditions/m/hls-2.mp4', join(directory, 'none'))).rejects.toThrow('ENOENT')
    expect(await readdir(join(directory, 'renditions/m'))).toEqual(['hls-1.mp4'])
  })

  it('have no address of their own', async () => {
    expect(await objects.link()).toBeUndefined()
    expect(await objects.toolInput('uploads/one')).toBe(join(directory, 'uploads/one'))
  })
})
