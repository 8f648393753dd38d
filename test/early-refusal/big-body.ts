import { once } from 'node:events'
import { type ClientRequest, type InformationEvent, request } from 'node:http'
import { type Answer, answerOf } from '../support/raw-http.ts'
import type { Target } from '../support/tus.ts'

const CHUNK_BYTES = 64 * 1024

/** A body that is never in memory: its first bytes, and then the same ones over and over. */
export type BigBody = { first: Uint8Array; filler: Uint8Array; bytes: number }

const TEXT = 'This is no video, whatever its name says.\n'

export const textOf = (bytes: number): BigBody => ({
  first: Buffer.alloc(0),
  filler: Buffer.alloc(CHUNK_BYTES, TEXT),
  bytes,
})

export const beginningWith = (first: Uint8Array, bytes: number): BigBody => ({
  first,
  filler: Buffer.alloc(CHUNK_BYTES),
  bytes,
})

export function* chunksOf({ first, filler, bytes }: BigBody): Generator<Uint8Array> {
  for (let at = 0; at < first.length; at += CHUNK_BYTES) yield first.subarray(at, at + CHUNK_BYTES)
  for (let left = bytes - first.length; left > 0; left -= filler.length) yield filler.subarray(0, left)
}

export type BigRequest = {
  method: string
  path: string
  headers: Record<string, string>
  body: BigBody
  isChunked?: boolean
}

/** How a request went: `written` is what was given to the connection when the answer was there. */
export type Sent = { answer: Answer; written: number; information: InformationEvent[] }

/**
 * Sends as fast as the server takes it, as a client does that looks at the answer when it comes: then it stops.
 * Fails when the connection ends without an answer.
 */
export async function sendBig(target: Pick<Target, 'url'>, big: BigRequest): Promise<Sent> {
  const sent = begin(target, big)
  const information: InformationEvent[] = []
  sent.on('information', (interim) => information.push(interim))
  const answering = answerOf(sent)
  answering.catch(() => {})
  const written = await writeUntil(sent, chunksOf(big.body))
  const answer = await answering
  sent.destroy()
  return { answer, written, information }
}

/** Sends the first `bytes` of a body one at a time, each in a packet of its own, and then waits. */
export async function sendByteByByte(
  target: Pick<Target, 'url'>,
  big: BigRequest,
  bytes: number,
): Promise<Sent> {
  const sent = begin(target, big)
  sent.setNoDelay(true)
  const answering = answerOf(sent)
  answering.catch(() => {})
  const [first] = chunksOf(big.body)
  if (!first) throw new Error('the body is empty')
  const written = await writeUntil(
    sent,
    [...first.subarray(0, bytes)].map((byte) => Uint8Array.of(byte)),
    {
      waits: true,
    },
  )
  const answer = await answering
  sent.destroy()
  return { answer, written, information: [] }
}

function begin(
  target: Pick<Target, 'url'>,
  { method, path, headers, body, isChunked }: BigRequest,
): ClientRequest {
  const length = isChunked ? { 'Transfer-Encoding': 'chunked' } : { 'Content-Length': String(body.bytes) }
  return request(new URL(path, target.url), { method, agent: false, headers: { ...headers, ...length } })
}

/** Gives what was written when the answer came, or all of it. The body is ended where it is whole. */
async function writeUntil(
  sent: ClientRequest,
  chunks: Iterable<Uint8Array>,
  { waits = false } = {},
): Promise<number> {
  let isOver = false
  const over = new Promise<void>((resolve) => {
    const finish = () => {
      isOver = true
      resolve()
    }
    sent.once('response', finish).once('close', finish)
  })
  let written = 0
  for (const chunk of chunks) {
    if (isOver) return written
    written += chunk.length
    if (waits) await Promise.race([new Promise((resolve) => sent.write(chunk, resolve)), over])
    else if (!sent.write(chunk)) await Promise.race([once(sent, 'drain').catch(() => {}), over])
  }
  if (!isOver && !waits) sent.end()
  return written
}
