import { type FileHandle, mkdtemp, open, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { LeaseLost } from '../store/outcomes.ts'
import { DirectorySyncs } from './directory-syncs.ts'
import { FileWriter } from './file-writer.ts'

/** So large that each is written by itself. */
const CHUNK_BYTES = 512 * 1024
const chunk = (text: string, bytes = CHUNK_BYTES) => Buffer.alloc(bytes, text)

const allowed = () => true
const forbidden = () => false

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

  async function openAt(offset: number): Promise<FileWriter> {
    writer = await FileWriter.open(path, offset, new DirectorySyncs())
    return writer
  }

  it('fails when it may not write any more, and has written nothing of that chunk', async () => {
    const file = await openAt(0)
    await file.write(chunk('a'), allowed)
    await expect(file.write(chunk('b'), forbidden)).rejects.toThrow(LeaseLost)
    expect(file.written).toBe(CHUNK_BYTES)
    expect(await readFile(path)).toEqual(chunk('a'))
  })

  it('never puts a later chunk in the place of one that it might not write', async () => {
    const file = await openAt(0)
    const mayWrite = [true, false, true]
    // As a request's body is received: chunk after chunk, for as long as none fails.
    const receive = async () => {
      for (const [index, text] of ['a', 'b', 'c'].entries()) {
        await file.write(chunk(text), () => mayWrite[index] ?? false)
      }
    }
    await expect(receive()).rejects.toThrow(LeaseLost)
    await file.flush(allowed)
    expect(await readFile(path)).toEqual(chunk('a'))
  })

  it('drops what it had gathered when it may not write any more, and says so', async () => {
    const file = await openAt(0)
    await file.write(chunk('a', 100), allowed)
    await file.write(chunk('b', 100), allowed)
    await expect(file.flush(forbidden)).rejects.toThrow(LeaseLost)
    await file.flush(allowed)
    expect([file.written, (await stat(path)).size]).toEqual([0, 0])
  })

  it('asks again before each write, also of the rest of a chunk', async () => {
    const file = await openAt(0)
    await writeAtMost(100_000)
    let asked = 0
    await expect(file.write(chunk('a'), () => ++asked <= 2)).rejects.toThrow(LeaseLost)
    expect([asked, file.written]).toEqual([3, 200_000])
    expect(await readFile(path)).toEqual(chunk('a', 200_000))
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
        await file.write(part, allowed)
      }
      await file.flush(allowed)
      expect(file.written).toBe(bytes)
      expect((await readFile(path)).equals(whole)).toBe(true)
    },
  )

  it('frees what it has written, and what it might not write, but nobody else’s memory', async () => {
    const file = await openAt(0)
    const shared = Buffer.alloc(100, 's')
    const [written, part, dropped] = [chunk('a', 100), shared.subarray(0, 50), chunk('b', 100)]
    await file.write(written, allowed)
    await file.write(part, allowed)
    expect(written).toEqual(chunk('a', 100))
    await file.flush(allowed)
    await file.write(dropped, allowed)
    await expect(file.flush(forbidden)).rejects.toThrow(LeaseLost)
    expect([written.length, dropped.length]).toEqual([0, 0])
    expect(shared).toEqual(Buffer.alloc(100, 's'))
    expect(await readFile(path, 'utf8')).toBe('a'.repeat(100) + 's'.repeat(50))
  })

  it('opened at an offset cuts off what an earlier request left behind it, and goes on there', async () => {
    await writeFile(path, 'acknowledged, and then some')
    const file = await openAt('acknowledged'.length)
    expect(await readFile(path, 'utf8')).toBe('acknowledged')
    await file.write(Buffer.from('!'), allowed)
    await file.flush(allowed)
    expect([file.written, await readFile(path, 'utf8')]).toEqual(['acknowledged!'.length, 'acknowledged!'])
  })

  it('opened at the start empties what is there', async () => {
    await writeFile(path, 'of a request that nobody acknowledged')
    await openAt(0)
    expect((await stat(path)).size).toBe(0)
  })

  it('opened behind the start needs the file to be there', async () => {
    await expect(openAt(10)).rejects.toMatchObject({ code: 'ENOENT' })
  })

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
