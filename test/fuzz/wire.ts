import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { nothingFor, slowly } from '../support/pauses.ts'
import { readAnswers, type WireAnswer } from './answers.ts'
import type { Drawn } from './drawn.ts'
import type { Rendered } from './rendering.ts'

/** A request that is whole has to be answered within this time, on a busy machine as well. */
const ANSWER_MS = 20_000
/** What nobody has to answer may be answered in this time. */
const FRAGMENT_ANSWER_MS = 40
const PARTING_MS = 500
/** Between pieces of a request that comes slowly. */
const PIECE_MS = 1

export type Heard = { answers: WireAnswer[]; isClosed: boolean }

/** Sends this on a connection of its own and gives what came back. Fails where an answer was owed and none came. */
export async function exchange(
  url: string,
  { bytes, isWhole, method }: Rendered,
  how: Drawn,
): Promise<Heard> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  const received: Buffer[] = []
  let isClosed = false
  // A connection that breaks is an answer as well; 'close' follows.
  socket.on('error', () => {})
  socket.on('data', (chunk) => received.push(chunk))
  const closed = new Promise<void>((resolve) =>
    socket.once('close', () => {
      isClosed = true
      resolve()
    }),
  )
  const heard = (): Heard => ({ answers: readAnswers(Buffer.concat(received), method, isClosed), isClosed })
  const isAnswered = () =>
    isClosed ||
    heard().answers.some(({ status, headers, isWhole }) => {
      return status >= 200 && (isWhole || headers.get('content-type')?.startsWith('text/event-stream'))
    })
  try {
    await write(socket, bytes, how.pieces)
    await until(isAnswered, socket, isWhole ? ANSWER_MS : FRAGMENT_ANSWER_MS)
    if (isWhole && !isAnswered()) throw new Error(`no answer in ${ANSWER_MS} ms: ${JSON.stringify(heard())}`)
    // What follows the answer is looked at as well.
    if (!isWhole && !isClosed) {
      if (how.end === 'reset') socket.resetAndDestroy()
      else socket.end()
      await Promise.race([closed, nothingFor(PARTING_MS)])
    }
    return heard()
  } finally {
    socket.destroy()
    await closed
  }
}

async function write(socket: Socket, bytes: Buffer, pieces: number): Promise<void> {
  const size = Math.max(1, Math.ceil(bytes.length / pieces))
  for (let at = 0; at < bytes.length && !socket.destroyed; at += size) {
    socket.write(bytes.subarray(at, at + size))
    if (pieces > 1) await slowly(PIECE_MS)
  }
}

async function until(isTrue: () => boolean, socket: Socket, withinMs: number): Promise<void> {
  const signal = AbortSignal.timeout(withinMs)
  while (!isTrue() && !signal.aborted) {
    await Promise.race([once(socket, 'data', { signal }), once(socket, 'close', { signal })]).catch(() => {
      // The time is over.
    })
  }
}
