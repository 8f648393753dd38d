import type { Answer, Interim } from '../kit/answer.ts'
import {
  describeAnswer,
  expectSuccess,
  expectThat,
  headerOf,
  isSuccess,
  Unprepared,
} from '../kit/expectations.ts'
import { FILE, mediaBytes, type Peer, type PeerRequest } from '../kit/peer.ts'
import { booleanOf, dictionaryOf, integerOf } from '../kit/structured.ts'
import type { Exchange, RequestHeaders } from '../kit/wire.ts'

/** Requests of the IETF draft, for rows to vary. */

export const PARTIAL_UPLOAD = 'application/partial-upload'
/** Bytes of an upload whose size does not matter; servers may have a least one of some KB. */
export const SIZE = 6000
/** As long as a server may take for an interim response. */
export const INTERIM_TIMEOUT_MS = 3000

/** An upload, and what belongs in it. */
export type Stored = { url: URL; bytes: Buffer }
export type Upload = Stored & { created: Answer }

const asDraft = (peer: Peer, request: PeerRequest): PeerRequest => ({
  ...request,
  headers: { 'Upload-Draft-Interop-Version': String(peer.interop), ...request.headers },
})

export const send = (peer: Peer, request: PeerRequest): Promise<Answer> => peer.send(asDraft(peer, request))
export const open = (peer: Peer, request: PeerRequest): Promise<Exchange> => peer.open(asDraft(peer, request))

const flag = (isTrue: boolean) => (isTrue ? '?1' : '?0')

export type Creation = {
  isComplete?: boolean
  body?: Uint8Array
  /** Upload-Length; not sent without it. */
  length?: number
  headers?: RequestHeaders
  isChunked?: boolean
}

/** The headers of a creation, to be sent with or without a body. */
export const creationHeaders = ({ isComplete = false, length, headers }: Creation): RequestHeaders => ({
  'Upload-Complete': flag(isComplete),
  'Upload-Length': length?.toString(),
  'Content-Type': FILE.type,
  'Content-Disposition': `inline; filename="${FILE.name}"`,
  ...headers,
})

/** POST to the creation URL, whatever it answers. */
export async function creation(peer: Peer, options: Creation = {}): Promise<Answer> {
  const { body, isChunked } = options
  const answer = await send(peer, { method: 'POST', headers: creationHeaders(options), body, isChunked })
  const location = locationOf(answer)
  if (location !== undefined) peer.locate(location)
  return answer
}

/** Where the upload resource is: an interim response says it first. */
export const locationOf = ({ interim, headers }: Answer): string | undefined =>
  interim.find(isAnnouncement)?.headers.get('Location') ?? headers.get('Location')

export const isAnnouncement = ({ status, headers }: Interim) =>
  status === 104 && headers.get('Location') !== undefined

type Wanted = Creation & { bytes?: Buffer }

/**
 * An upload that is not complete, of which rows append the rest; `bytes` is what belongs in it. A row whose upload does
 * not come about is skipped: that is what `ietf-creation-empty` is about.
 */
export async function create(peer: Peer, options: Wanted = {}): Promise<Upload> {
  const { upload, answer } = await tryToCreate(peer, options)
  if (upload) return upload
  throw new Unprepared('ietf-creation-empty', `no upload could be created: ${describeAnswer(answer)}`)
}

/** An upload that the row itself is about: that it does not come about is what the server does otherwise. */
export async function expectCreated(peer: Peer, options: Wanted = {}): Promise<Upload> {
  const { upload, answer } = await tryToCreate(peer, options)
  expectSuccess(answer)
  headerOf(answer, 'Location')
  expectThat(upload !== undefined, `expected an upload, got ${describeAnswer(answer)}`)
  return upload
}

async function tryToCreate(peer: Peer, options: Wanted): Promise<{ upload?: Upload; answer: Answer }> {
  const { bytes = mediaBytes(SIZE) } = options
  const answer = await creation(peer, options)
  const location = answer.headers.get('Location')
  if (!isSuccess(answer) || location === undefined) return { answer }
  return { answer, upload: { url: peer.locate(location), bytes, created: answer } }
}

type Piece = {
  from: number
  to?: number
  isComplete?: boolean
  headers?: RequestHeaders
  isChunked?: boolean
}

export const appendHeaders = ({ from, isComplete = false, headers }: Piece): RequestHeaders => ({
  'Upload-Offset': String(from),
  'Upload-Complete': flag(isComplete),
  'Content-Type': PARTIAL_UPLOAD,
  ...headers,
})

/** PATCH with the bytes of the upload that belong there, whatever it answers. */
export async function append(peer: Peer, upload: Stored, piece: Piece): Promise<Answer> {
  const { from, to = upload.bytes.byteLength, isChunked } = piece
  return await send(peer, {
    method: 'PATCH',
    at: upload.url,
    headers: appendHeaders(piece),
    body: upload.bytes.subarray(from, to),
    isChunked,
  })
}

/** An upload that has its first so many bytes; a row that cannot have one is skipped, as with `create`. */
export async function createFilled(
  peer: Peer,
  filled: number,
  options: Wanted = {},
): Promise<Upload & { appended: Answer }> {
  const upload = await create(peer, options)
  const appended = await append(peer, upload, { from: 0, to: filled })
  if (!isSuccess(appended)) {
    throw new Unprepared('ietf-append-part', `no bytes could be appended: ${describeAnswer(appended)}`)
  }
  return { ...upload, appended }
}

/** An upload that was completed by an append, and the answer to that. */
export async function createComplete(peer: Peer): Promise<Upload & { completed: Answer }> {
  const upload = await createFilled(peer, SIZE / 2)
  const completed = await append(peer, upload, { from: SIZE / 2, isComplete: true })
  if (!isSuccess(completed)) {
    throw new Unprepared('ietf-append-end', `the upload could not be completed: ${describeAnswer(completed)}`)
  }
  return { ...upload, completed }
}

export const head = (peer: Peer, url: URL, headers: RequestHeaders = {}): Promise<Answer> =>
  send(peer, { method: 'HEAD', at: url, headers })
export const cancel = (peer: Peer, url: URL, headers: RequestHeaders = {}): Promise<Answer> =>
  send(peer, { method: 'DELETE', at: url, headers })

/** A header that has to be there and to be an Integer. */
export function integerIn(answer: Answer | Interim, name: string): number {
  const text = headerOf(answer, name)
  const value = integerOf(text)
  expectThat(value !== undefined, `${name} is "${text}", not an Integer`)
  return value
}

export function expectInteger(answer: Answer | Interim, name: string, wanted: number): void {
  const value = integerIn(answer, name)
  expectThat(value === wanted, `expected ${name}: ${wanted}, got ${value} with ${answer.status}`)
}

export function expectComplete(answer: Answer, wanted: boolean): void {
  const text = headerOf(answer, 'Upload-Complete')
  expectThat(
    booleanOf(text) === wanted,
    `expected Upload-Complete: ${flag(wanted)}, got "${text}" with ${answer.status}`,
  )
}

/** An answer that completes an upload: a success that does not say otherwise. */
export function expectCompleted(answer: Answer): void {
  expectSuccess(answer)
  if (answer.headers.get('Upload-Complete') !== undefined) expectComplete(answer, true)
}

/** What a row then sees refused is refused for its own sake. */
export const expectCreatable = async (peer: Peer): Promise<void> => void (await create(peer))

/** The limits in an answer, all of which are Integers as far as the draft knows them. */
export function limitsIn(answer: Answer | Interim): ReadonlyMap<string, number> {
  const text = headerOf(answer, 'Upload-Limit')
  const members = dictionaryOf(text)
  expectThat(members !== undefined, `Upload-Limit is "${text}", not a Dictionary`)
  return new Map(
    [...members]
      .filter(([key]) => LIMITS.has(key))
      .map(([key, value]) => {
        const limit = integerOf(value)
        expectThat(limit !== undefined, `${key} in Upload-Limit is "${value}", not an Integer`)
        return [key, limit]
      }),
  )
}

const LIMITS = new Set(['max-size', 'min-size', 'max-append-size', 'min-append-size', 'max-age', 'expires'])

/** Upload-Offset as HEAD tells it. */
export async function offsetOf(peer: Peer, url: URL): Promise<number> {
  const answer = await head(peer, url)
  expectSuccess(answer)
  return integerIn(answer, 'Upload-Offset')
}

export async function expectOffset(peer: Peer, url: URL, wanted: number): Promise<void> {
  const offset = await offsetOf(peer, url)
  expectThat(offset === wanted, `expected the upload to stand at ${wanted}, it stands at ${offset}`)
}
