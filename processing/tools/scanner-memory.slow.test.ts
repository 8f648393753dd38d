import type { Socket } from 'node:net'
import { expect, it, onTestFinished } from 'vitest'
import { slowly } from '../../test/support/pauses.ts'
import { addressOf, afterStream, listenAsClamd, sourceOf } from '../../test/support/scan-streams.ts'
import { Scanner } from './scanner.ts'

const MB = 1024 * 1024
const ignoreChunk = () => {}
const forever = new AbortController().signal

it('a scanner keeps its memory within bounds while a clamd reads 500 MB slowly', async () => {
  const fake = await listenAsClamd((socket) => {
    afterStream(socket, () => socket.end('stream: OK\0'))
    readSlowly(socket)
  })
  onTestFinished(() => void fake.close())
  const scanner = new Scanner(addressOf(fake))
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

/** Takes a few megabytes, rests, and goes on: about half as fast as a real clamd. */
function readSlowly(socket: Socket): void {
  let taken = 0
  socket.on('data', async (data: Buffer) => {
    taken += data.byteLength
    if (taken < 4 * MB) return
    taken = 0
    socket.pause()
    await slowly(20)
    socket.resume()
  })
}
