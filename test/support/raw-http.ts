import { once } from 'node:events'
import { type ClientRequest, type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http'
import type { Target } from './tus.ts'

/** Requests that `fetch` cannot send: any header, a body that comes in pieces, or one that never ends. */

export type Answer = { status: number; headers: IncomingHttpHeaders; body: string }

/** What a test reads of a problem document; other members are those of its code. */
export type ProblemJson = {
  type: string
  title: string
  status: number
  detail: string
  code: string
  requestId: string
  reason?: { code: string; detail: string }
}

export type RawRequest = {
  method: string
  path: string
  headers?: Record<string, string | string[]>
  body?: Uint8Array
}

/** Sends one request on a connection of its own, with nothing added but Host and the length of the body. */
export async function rawRequest(target: Pick<Target, 'url'>, raw: RawRequest): Promise<Answer> {
  const { method, path, headers = {}, body } = raw
  const sent = request(new URL(path, target.url), {
    method,
    agent: false,
    headers: body ? { 'Content-Length': String(body.byteLength), ...headers } : headers,
  })
  const answer = answerOf(sent)
  sent.end(body)
  return await answer
}

/** A problem document, checked for being one. */
export function problemOf(answer: Answer): ProblemJson {
  const type = answer.headers['content-type']
  if (type !== 'application/problem+json') throw new Error(`no problem document but ${type}: ${answer.body}`)
  return JSON.parse(answer.body) as ProblemJson
}

/** The headers of every tus request, with the token of this user. */
export function tusHeaders(
  target: Target,
  sub: string,
  more: Record<string, string> = {},
): Record<string, string> {
  return { Authorization: `Bearer ${target.token(sub)}`, 'Tus-Resumable': '1.0.0', ...more }
}

export type TusRequest = {
  method: string
  /** Below `/files`, such as an upload's id. */
  at?: string
  /** Beside the token and the version, which `undefined` takes away. */
  headers?: Record<string, string | undefined>
  body?: Uint8Array
}

/** A tus request with exactly these headers. */
export async function tusRequest(target: Target, sub: string, tus: TusRequest): Promise<Answer> {
  const { method, at, headers = {}, body } = tus
  const given = Object.entries({ ...tusHeaders(target, sub), ...headers })
  return await rawRequest(target, {
    method,
    path: at === undefined ? '/files' : `/files/${at}`,
    headers: Object.fromEntries(
      given.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
    ),
    body,
  })
}

export const OFFSET_STREAM = 'application/offset+octet-stream'

export type OpenPatch = {
  /** Resolves when the bytes are out of this process, as far as it can tell. */
  send(bytes: Uint8Array): Promise<void>
  end(): void
  /** Breaks the connection, as a network does. */
  disconnect(): void
  /** Fails when the connection ends without one. */
  answer: Promise<Answer>
}

/** A PATCH whose body the test sends piece by piece, or never finishes. */
export function openPatch(
  target: Target,
  sub: string,
  id: string,
  append: { offset: number; headers?: Record<string, string> },
): OpenPatch {
  const sent = request(new URL(`/files/${id}`, target.url), {
    method: 'PATCH',
    agent: false,
    headers: tusHeaders(target, sub, {
      'Upload-Offset': String(append.offset),
      'Content-Type': 'application/offset+octet-stream',
      ...append.headers,
    }),
  })
  const answer = answerOf(sent)
  // Whether the connection breaks is the test's to look at, in `answer`.
  answer.catch(() => {})
  sent.flushHeaders()
  return {
    send: (bytes) =>
      new Promise<void>((resolve, reject) => {
        sent.write(bytes, (error) => (error ? reject(error) : resolve()))
      }),
    end: () => void sent.end(),
    disconnect: () => void sent.destroy(),
    answer,
  }
}

/** The answer to a request that may still be sending. */
export async function answerOf(sent: ClientRequest): Promise<Answer> {
  // Having refused, a server may cut a body that is still coming; the answer counts if it came first.
  sent.on('error', () => {})
  const [response] = (await Promise.race([
    once(sent, 'response'),
    once(sent, 'close').then(() => {
      throw new Error('the connection ended without an answer')
    }),
  ])) as [IncomingMessage]
  let body = ''
  for await (const chunk of response.setEncoding('utf8')) body += chunk
  return { status: response.statusCode ?? 0, headers: response.headers, body }
}
