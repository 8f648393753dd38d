import type { Answer } from '../kit/answer.ts'
import {
  describeAnswer,
  expectSuccess,
  expectThat,
  headerOf,
  isSuccess,
  Unprepared,
} from '../kit/expectations.ts'
import type { Peer } from '../kit/peer.ts'
import { eventually } from '../kit/waits.ts'
import type { RequestHeaders } from '../kit/wire.ts'
import { append, create, creation, head, noneAppended, type Upload } from './client.ts'

export const PARTIAL = { 'Upload-Concat': 'partial', 'Upload-Metadata': undefined }
/** Bytes of a partial upload. */
export const PIECE = 3000

/** Partial uploads that hold the bytes in this order, so many of each; they have no metadata. */
export async function createPartials(
  peer: Peer,
  bytes: Buffer,
  headers: RequestHeaders = {},
): Promise<Upload[]> {
  const partials: Upload[] = []
  for (let at = 0; at < bytes.byteLength; at += PIECE) {
    const piece = bytes.subarray(at, at + PIECE)
    partials.push(await create(peer, { bytes: piece, headers: { ...PARTIAL, ...headers } }))
  }
  return partials
}

/** Completes partial uploads; a row that cannot do so is skipped. */
export async function fill(peer: Peer, partials: readonly Upload[]): Promise<void> {
  for (const partial of partials) {
    const answer = await append(peer, partial, { from: 0 })
    if (!isSuccess(answer)) throw noneAppended(answer)
  }
}

export const concatOf = (partials: readonly Upload[], spell = (url: URL) => url.pathname) =>
  `final;${partials.map(({ url }) => spell(url)).join(' ')}`

/** POST of a final upload, whatever it answers. */
export const concatenation = (peer: Peer, concat: string, headers: RequestHeaders = {}): Promise<Answer> =>
  creation(peer, { headers: { 'Upload-Length': undefined, 'Upload-Concat': concat, ...headers } })

/** A final upload; a row that cannot have one is skipped: `tus-final-creation` is about that. */
export async function concatenate(peer: Peer, concat: string, headers: RequestHeaders = {}): Promise<URL> {
  const answer = await concatenation(peer, concat, headers)
  const location = answer.headers.get('Location')
  if (isSuccess(answer) && location !== undefined) return peer.locate(location)
  throw new Unprepared('tus-final-creation', `no final upload could be created: ${describeAnswer(answer)}`)
}

/** A final upload that the row itself is about. */
export async function expectConcatenated(peer: Peer, concat: string): Promise<URL> {
  const answer = await concatenation(peer, concat)
  expectThat(isSuccess(answer), `expected a final upload, got ${describeAnswer(answer)}`)
  return peer.locate(headerOf(answer, 'Location'))
}

/** HEAD on a final upload whose concatenation has ended. */
export async function headOfFinal(peer: Peer, url: URL): Promise<Answer> {
  await eventually(async () => (await head(peer, url)).headers.get('Upload-Offset') !== undefined, 15_000)
  const answer = await head(peer, url)
  expectSuccess(answer)
  return answer
}
