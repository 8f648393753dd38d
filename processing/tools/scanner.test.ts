import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { Waiting } from '../failures/job-failures.ts'
import { Scanner } from './scanner.ts'

// No clamd answers like this on demand, so these tests talk to a fake one. What a real one does is in
// test/scanner-outage.test.ts and test/verdicts.test.ts.

const MB = 1024 * 1024
const ignoreChunk = () => {}

const forever = new AbortController().signal

describe('Scanner, against a fake clamd', () => {
  const fakes: Server[] = []
  afterEach(async () => {
    for (const fake of fakes.splice(0)) {
      fake.close()
      await once(fake, 'close')
    }
  })

  async function fakeClamd(behave: (socket: Socket) => void): Promise<Scanner> {
    const fake = createServer((socket) => {
      socket.on('error', () => {
        // The scanner may hang up while the fake still writes.
      })
      behave(socket)
    })
    fakes.push(fake)
    fake.listen(0, '127.0.0.1')
    await once(fake, 'listening')
    return new Scanner({ host: '127.0.0.1', port: (fake.address() as AddressInfo).port })
  }

  const scan = async (behave: (socket: Socket) => void, bytes = MB) =>
    await (await fakeClamd(behave)).scan(sourceOf(bytes), ignoreChunk, forever)

  it.each([
    ['stream: OK\0', { kind: 'clean' }],
    ['stream: Eicar-Test-Signature FOUND\0', { kind: 'infected', signature: 'Eicar-Test-Signature' }],
    [
      'stream: Eicar-Test-Signature.UNOFFICIAL FOUND\0',
      { kind: 'infected', signature: 'Eicar-Test-Signature' },
    ],
    [
      'stream: Heuristics.Limits.Exceeded.MaxFileSize FOUND\0',
      { kind: 'not-scanned', why: 'the file exceeds a limit of the scanner' },
    ],
    [
      'stream: Heuristics.Limits.Exceeded FOUND\0',
      { kind: 'not-scanned', why: 'the file exceeds a limit of the scanner' },
    ],
  ])('takes %j for a verdict', async (reply, verdict) => {
    expect(await scan((socket) => afterStream(socket, () => socket.end(reply)))).toEqual(verdict)
  })

  it('calls a file not scanned when clamd refuses its size and closes half-way', async () => {
    const verdict = await scan((socket) => {
      socket.once('data', () => socket.end('INSTREAM size limit exceeded. ERROR\0'))
    }, 64 * MB)
    expect(verdict).toEqual({ kind: 'not-scanned', why: 'the file is larger than clamd accepts' })
  })

  it.each([
    ['garbage', 'HTTP/1.1 400 Bad Request\r\n\r\n'],
    ['bytes that are no text', '\x01\x02\x80\xff\0'],
    ['a reply cut before the verdict', 'stream: '],
    ['a reply cut within OK', 'stream: O'],
    ['a reply cut within FOUND', 'stream: Eicar-Test-Signature FO'],
    ['another error', 'stream: Can’t allocate memory ERROR\0'],
    ['nothing', ''],
  ])('waits when clamd answers %s', async (_what, reply) => {
    await expect(scan((socket) => afterStream(socket, () => socket.end(reply)))).rejects.toThrow(Waiting)
  })

  it.each([
    ['hangs up at once', (socket: Socket) => void socket.destroy()],
    ['resets the connection at once', (socket: Socket) => void socket.resetAndDestroy()],
    ['hangs up in the middle', (socket: Socket) => void socket.once('data', () => socket.destroy())],
  ])('waits when clamd %s', async (_what, behave) => {
    await expect(scan(behave, 64 * MB)).rejects.toThrow(Waiting)
  })

  it('waits when nothing listens', async () => {
    const scanner = await fakeClamd(() => {})
    for (const fake of fakes.splice(0)) fake.close()
    await expect(scanner.scan(sourceOf(MB), ignoreChunk, forever)).rejects.toThrow(Waiting)
  })

  it('passes on an error of the source as it is', async () => {
    const scanner = await fakeClamd((socket) => afterStream(socket, () => socket.end('stream: OK\0')))
    const diskError = new Error('the disk is gone')
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield Buffer.alloc(MB)
      throw diskError
    }
    await expect(scanner.scan(Readable.from(failing()), ignoreChunk, forever)).rejects.toBe(diskError)
  })

  it('shows every byte to its caller, in order', async () => {
    const scanner = await fakeClamd((socket) => afterStream(socket, () => socket.end('stream: OK\0')))
    const seen: Uint8Array[] = []
    const chunks = [Buffer.from('one '), Buffer.from('two '), Buffer.from('three')]
    await scanner.scan(Readable.from(chunks), (chunk) => seen.push(chunk), forever)
    expect(Buffer.concat(seen).toString()).toBe('one two three')
  })

  it('keeps its memory within bounds while a clamd reads 500 MB slowly', async () => {
    const scanner = await fakeClamd((socket) => {
      afterStream(socket, () => socket.end('stream: OK\0'))
      readSlowly(socket)
    })
    // A first scan, so that what is loaded and set up once does not count.
    await scanner.scan(sourceOf(8 * MB), ignoreChunk, forever)
    const before = process.memoryUsage().rss
    let highest = before
    let bytes = 0
    const verdict = await scanner.scan(
      sourceOf(500 * MB),
      (chunk) => {
        bytes += chunk.byteLength
        highest = Math.max(highest, process.memoryUsage().rss)
      },
      forever,
    )
    expect(verdict).toEqual({ kind: 'clean' })
    expect(bytes).toBe(500 * MB)
    expect((highest - before) / MB).toBeLessThan(100)
  })
})

/** Bytes that are made as they are read, in buffers of their own, as from a file. */
function sourceOf(bytes: number): Readable {
  function* chunks(): Generator<Uint8Array> {
    for (let left = bytes; left > 0; left -= 256 * 1024) yield Buffer.alloc(Math.min(left, 256 * 1024), 'x')
  }
  return Readable.from(chunks())
}

/** Calls back when the end of an INSTREAM has come: a chunk of length zero. */
function afterStream(socket: Socket, then: () => void): void {
  let pending: Buffer<ArrayBufferLike> = Buffer.alloc(0)
  let skip = 'zINSTREAM\0'.length
  socket.on('data', (data: Buffer) => {
    pending = pending.length === 0 ? data : Buffer.concat([pending, data])
    while (pending.length > 0) {
      if (skip > 0) {
        const skipped = Math.min(skip, pending.length)
        pending = pending.subarray(skipped)
        skip -= skipped
      } else if (pending.length < 4) {
        return
      } else {
        skip = pending.readUInt32BE(0)
        pending = pending.subarray(4)
        if (skip === 0) return then()
      }
    }
  })
}

/** Takes a few megabytes, rests, and goes on: about half as fast as a real clamd. */
function readSlowly(socket: Socket): void {
  let taken = 0
  socket.on('data', async (data: Buffer) => {
    taken += data.byteLength
    if (taken < 4 * MB) return
    taken = 0
    socket.pause()
    await delay(20)
    socket.resume()
  })
}
