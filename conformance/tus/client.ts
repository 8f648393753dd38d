import type { Answer } from '../kit/answer.ts'
import {
  describeAnswer,
  expectSuccess,
  expectThat,
  headerOf,
  isSuccess,
  Unprepared,
} from '../kit/expectations.ts'
import { FILE, mediaBytes, type Peer, type PeerRequest } from '../kit/peer.ts'
import type { Exchange, RequestHeaders } from '../kit/wire.ts'

/** Requests of tus 1.0, for rows to vary. */

export const VERSION = '1.0.0'
export const OFFSET_STREAM = 'application/offset+octet-stream'
/** Bytes of an upload whose size does not matter; servers may have a least one of some KB. */
export const SIZE = 6000

/** An upload, and what belongs in it. */
export type Stored = { url: URL; bytes: Buffer }
export type Upload = Stored & { created: Answer }

const asTus = (request: PeerRequest): PeerRequest => ({
  ...request,
  headers: { 'Tus-Resumable': VERSION, ...request.headers },
})

export const send = (peer: Peer, request: PeerRequest): Promise<Answer> => peer.send(asTus(request))
export const open = (peer: Peer, request: PeerRequest): Promise<Exchange> => peer.open(asTus(request))

const pair = ([key, value]: readonly [string, string]) => `${key} ${Buffer.from(value).toString('base64')}`

/** Metadata in the form of its header. */
export const metadataOf = (entries: Readonly<Record<string, string>>) =>
  Object.entries(entries).map(pair).join(',')

/** What names the file to servers that ask for it. */
export const METADATA = metadataOf({ filename: FILE.name, filetype: FILE.type })

/** Pairs of a metadata header, in an order of our own: the standard does not ask for any. */
export const pairsOf = (header: string): string =>
  header
    .split(',')
    .map((text) => text.trim())
    .toSorted()
    .join(',')

export type Creation = {
  /** Upload-Length; null defers it. */
  length?: number | null
  headers?: RequestHeaders
  body?: Uint8Array
  isChunked?: boolean
  method?: string
}

/** POST to the creation URL, whatever it answers. */
export async function creation(
  peer: Peer,
  { length = SIZE, headers, body, isChunked, method = 'POST' }: Creation = {},
): Promise<Answer> {
  const answer = await send(peer, {
    method,
    headers: {
      ...(length === null ? { 'Upload-Defer-Length': '1' } : { 'Upload-Length': String(length) }),
      'Upload-Metadata': METADATA,
      ...(body ? { 'Content-Type': OFFSET_STREAM } : {}),
      ...headers,
    },
    body,
    isChunked,
  })
  const location = answer.headers.get('Location')
  if (location !== undefined && isSuccess(answer)) peer.locate(location)
  return answer
}

export type Wanted = Creation & { bytes?: Buffer }

/**
 * An upload that rows can go on with; `bytes` is what belongs in it. A row whose upload does not come about is skipped:
 * that is what `tus-creation-status` is about.
 */
export async function create(peer: Peer, options: Wanted = {}): Promise<Upload> {
  peer.needs('creation')
  const { upload, answer } = await tryToCreate(peer, options)
  if (upload) return upload
  const cause = isSuccess(answer) ? 'tus-creation-location' : 'tus-creation-status'
  throw new Unprepared(cause, `no upload could be created: ${describeAnswer(answer)}`)
}

/** An upload that the row itself is about: that it does not come about is what the server does otherwise. */
export async function expectCreated(peer: Peer, options: Wanted): Promise<Upload> {
  peer.needs('creation')
  const { upload, answer } = await tryToCreate(peer, options)
  expectThat(upload !== undefined, `expected an upload, got ${describeAnswer(answer)}`)
  return upload
}

async function tryToCreate(peer: Peer, options: Wanted): Promise<{ upload?: Upload; answer: Answer }> {
  const { bytes = mediaBytes(options.length ?? SIZE) } = options
  const answer = await creation(peer, { length: bytes.byteLength, ...options })
  const location = answer.headers.get('Location')
  if (!isSuccess(answer) || location === undefined) return { answer }
  return { answer, upload: { url: peer.locate(location), bytes, created: answer } }
}

/** What a row then sees refused is refused for its own sake. */
export const expectCreatable = async (peer: Peer): Promise<void> => void (await create(peer))

type Piece = { from: number; to?: number; headers?: RequestHeaders; isChunked?: boolean; method?: string }

/** PATCH with the bytes of the upload that belong there, whatever it answers. */
export async function append(peer: Peer, upload: Stored, piece: Piece): Promise<Answer> {
  const { from, to = upload.bytes.byteLength, headers, isChunked, method = 'PATCH' } = piece
  return await send(peer, {
    method,
    at: upload.url,
    headers: { 'Upload-Offset': String(from), 'Content-Type': OFFSET_STREAM, ...headers },
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
  if (!isSuccess(appended)) throw noneAppended(appended)
  return { ...upload, appended }
}

export const noneAppended = (answer: Answer): Unprepared =>
  new Unprepared('tus-patch-appends', `no bytes could be appended: ${describeAnswer(answer)}`)

export const head = (peer: Peer, url: URL): Promise<Answer> => send(peer, { method: 'HEAD', at: url })
export const terminate = (peer: Peer, url: URL): Promise<Answer> => send(peer, { method: 'DELETE', at: url })

/** Upload-Offset as HEAD tells it. */
export async function offsetOf(peer: Peer, upload: Pick<Upload, 'url'>): Promise<number> {
  const answer = await head(peer, upload.url)
  expectSuccess(answer)
  const offset = headerOf(answer, 'Upload-Offset')
  expectThat(/^\d+$/.test(offset), `Upload-Offset is "${offset}"`)
  return Number(offset)
}

export async function expectOffset(peer: Peer, upload: Pick<Upload, 'url'>, wanted: number): Promise<void> {
  const offset = await offsetOf(peer, upload)
  expectThat(offset === wanted, `expected the upload to stand at ${wanted}, it stands at ${offset}`)
}
