import { type FileHandle, mkdtemp, open, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { nothingFor } from '../../test/support/pauses.ts'
import { LeaseLost } from '../store/outcomes.ts'
import { FileWriter, Writers } from './file-writer.ts'

/** So large that each is written by itself. */
const CHUNK_BYTES = 512 * 1024
const chunk = (text: string, bytes = CHUNK_BYTES) => Buffer.alloc(bytes, text)

describe('a file writer', () => {
  let directory: string
  let path: string
  let writer: FileWriter | undefined

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'landfall-writer-'))
  })
  afterAll(() => rm(directory, { recursive: true, force: true }))
  beforeEach(({ task }) => {
    path = join(directory, task.id)
  })
  afterEach(async () => {
    vi.restoreAllMocks()
    await writer?.close()
    writer = undefined
  })

  async function openAt(offset: number, mayWrite = () => true, writers = new Writers()): Promise<FileWriter> {
    writer = await FileWriter.open(path, { offset, writers, mayWrite })
    return writer
  }

  it('fails when it may not write any more, and has written nothing of that chunk', async () => {
    let mayWrite = true
    const file = await openAt(0, () => mayWrite)
    await file.write(chunk('a'))
    await file.flush()
    mayWrite = false
    await file.write(chunk('b'))
    await expect(file.flush()).rejects.toThrow(LeaseLost)
    expect(file.offset).toBe(CHUNK_BYTES)
    expect(await readFile(path)).toEqual(chunk('a'))
  })

  it('never puts a later chunk in the place of one that it might not write', async () => {
    const mayWrite = [true, false, true]
    const file = await openAt(0, () => mayWrite.shift() ?? true)
    // As a request's body is received: chunk after chunk, for as long as none fails.
    const receive = async () => {
      for (const text of ['a', 'b', 'c']) await file.write(chunk(text))
    }
    await expect(receive()).rejects.toThrow(LeaseLost)
    await expect(file.flush()).rejects.toThrow(LeaseLost)
    expect(await readFile(path)).toEqual(chunk('a'))
  })

  it('drops what it had gathered when it may not write any more, and fails from then on', async () => {
    let mayWrite = false
    const file = await openAt(0, () => mayWrite)
    await file.write(chunk('a', 100))
    await file.write(chunk('b', 100))
    await expect(file.flush()).rejects.toThrow(LeaseLost)
    mayWrite = true
    await expect(file.flush()).rejects.toThrow(LeaseLost)
    const late = chunk('c', 100)
    await expect(file.write(late)).rejects.toThrow(LeaseLost)
    expect([late.length, file.offset, (await stat(path)).size]).toEqual([0, 0, 0])
  })

  it('asks again before each write, also of the rest of a chunk', async () => {
    let asked = 0
    const file = await openAt(0, () => ++asked <= 2)
    await writeAtMost(100_000)
    await file.write(chunk('a'))
    await expect(file.flush()).rejects.toThrow(LeaseLost)
    expect([asked, file.offset]).toEqual([3, 200_000])
    expect(await readFile(path)).toEqual(chunk('a', 200_000))
  })

  it('takes more while it writes, for one larger call, up to its share of the memory', async () => {
    const writers = new Writers()
    const file = await openAt(0, undefined, writers)
    const calls = await holdWrites()
    const small = 64 * 1024
    const write = () => file.write(chunk('a', small))
    // Four are a call; seven more are gathered meanwhile, and then the next has to wait.
    for (let count = 0; count < 11; count++) await write()
    const last = write()
    expect(await Promise.race([last, nothingFor(50, 'waits')])).toBe('waits')
    calls.release()
    await last
    await file.flush()
    expect(calls.bytes.slice(0, 2)).toEqual([4 * small, 8 * small])
    expect(file.offset).toBe(12 * small)
    writers.open = 1_000
    expect(writers.gatheredBytes).toBe(4 * small)
  })

  it.each([1, 99_999, 100_000, 262_144, 700_000])(
    'goes on where the system left off, when that writes %i bytes at a time',
    async (most) => {
      const file = await openAt(0)
      await writeAtMost(most)
      const bytes = most === 1 ? 300 : 1_000_000
      const chunks = Array.from({ length: 10 }, (_, index) => chunk(String(index), bytes / 10))
      const whole = Buffer.concat(chunks)
      // Nothing in between and at the end is a chunk as well.
      for (const part of [...chunks.slice(0, 5), chunk('', 0), ...chunks.slice(5), chunk('', 0)]) {
        await file.write(part)
      }
      await file.flush()
      expect(file.offset).toBe(bytes)
      expect((await readFile(path)).equals(whole)).toBe(true)
    },
  )

  it('frees what it has written, and what it might not write, but nobody else’s memory', async () => {
    let mayWrite = true
    const file = await openAt(0, () => mayWrite)
    const shared = Buffer.alloc(100, 's')
    const [written, part, dropped] = [chunk('a', 100), shared.subarray(0, 50), chunk('b', 100)]
    await file.write(written)
    await file.write(part)
    expect(written).toEqual(chunk('a', 100))
    await file.flush()
    mayWrite = false
    await file.write(dropped)
    await expect(file.flush()).rejects.toThrow(LeaseLost)
    expect([written.length, dropped.length]).toEqual([0, 0])
    expect(shared).toEqual(Buffer.alloc(100, 's'))
    expect(await readFile(path, 'utf8')).toBe('a'.repeat(100) + 's'.repeat(50))
  })

  it('opened at an offset cuts off what an earlier request left behind it, and goes on there', async () => {
    await writeFile(path, 'acknowledged, and then some')
    const file = await openAt('acknowledged'.length)
    expect(await readFile(path, 'utf8')).toBe('acknowledged')
    await file.write(Buffer.from('!'))
    await file.flush()
    expect([file.offset, await readFile(path, 'utf8')]).toEqual(['acknowledged!'.length, 'acknowledged!'])
  })

  it('opened at the start empties what is there', async () => {
    await writeFile(path, 'of a request that nobody acknowledged')
    await openAt(0)
    expect((await stat(path)).size).toBe(0)
  })

  it('opened behind the start needs the file to be there', async () => {
    await expect(openAt(10)).rejects.toMatchObject({ code: 'ENOENT' })
  })

  /** Holds the first write until `release`; `bytes` of each call. */
  async function holdWrites(): Promise<{ bytes: number[]; release: () => void }> {
    const sample = await open(path, 'r')
    const handles: FileHandle = Object.getPrototypeOf(sample)
    await sample.close()
    const { promise: released, resolve: release } = Promise.withResolvers<void>()
    const bytes: number[] = []
    const { writev } = handles
    vi.spyOn(handles, 'writev').mockImplementation(async function (this: FileHandle, buffers, position) {
      bytes.push(buffers.reduce((sum, { byteLength }) => sum + byteLength, 0))
      await released
      return await writev.call(this, buffers, position)
    })
    return { bytes, release }
  }

  /** Makes the system write no more than so many bytes at a time, as on a disk that is nearly full. */
  async function writeAtMost(bytes: number): Promise<void> {
    const sample = await open(path, 'r')
    const handles: FileHandle = Object.getPrototypeOf(sample)
    await sample.close()
    vi.spyOn(handles, 'writev').mockImplementation(async function (this: FileHandle, buffers, position) {
      const whole = Buffer.concat(
        buffers.map(({ buffer, byteOffset, byteLength }) => Buffer.from(buffer, byteOffset, byteLength)),
      )
      const { bytesWritten } = await this.write(whole, 0, Math.min(bytes, whole.length), position ?? null)
      return { bytesWritten, buffers }
    })
  }
})
