import { once } from 'node:events'
import type { Server, Socket } from 'node:net'
import { Readable } from 'node:stream'
import { afterEach, describe, expect, it } from 'vitest'
import { addressOf, afterStream, listenAsClamd, sourceOf } from '../../test/support/scan-streams.ts'
import { RetryLater } from '../failures/job-failures.ts'
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
    const fake = await listenAsClamd(behave)
    fakes.push(fake)
    return new Scanner(addressOf(fake))
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
    await expect(scan((socket) => afterStream(socket, () => socket.end(reply)))).rejects.toThrow(RetryLater)
  })

  it.each([
    ['hangs up at once', (socket: Socket) => void socket.destroy()],
    ['resets the connection at once', (socket: Socket) => void socket.resetAndDestroy()],
    ['hangs up in the middle', (socket: Socket) => void socket.once('data', () => socket.destroy())],
  ])('waits when clamd %s', async (_what, behave) => {
    await expect(scan(behave, 64 * MB)).rejects.toThrow(RetryLater)
  })

  it('waits when nothing listens', async () => {
    const scanner = await fakeClamd(() => {})
    for (const fake of fakes.splice(0)) fake.close()
    await expect(scanner.scan(sourceOf(MB), ignoreChunk, forever)).rejects.toThrow(RetryLater)
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
})
