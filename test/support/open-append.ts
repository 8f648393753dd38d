import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { type Answer, OFFSET_STREAM, rawRequest, tusHeaders } from './raw-http.ts'
import type { Target } from './tus.ts'

// The same steps in both protocols, for tests of what holds in each.

export const PROTOCOLS = ['tus 1.0', 'the draft'] as const
export type Protocol = (typeof PROTOCOLS)[number]

const asDraft = (target: Target, sub: string, more: Record<string, string> = {}) => ({
  Authorization: `Bearer ${target.token(sub)}`,
  'Upload-Draft-Interop-Version': '8',
  ...more,
})

/** Creates an upload of so many bytes that must succeed; gives its id. */
export async function createIn(
  protocol: Protocol,
  target: Target,
  sub: string,
  bytes: number,
): Promise<string> {
  const length = { 'Upload-Length': String(bytes), 'Content-Length': '0' }
  const headers =
    protocol === 'tus 1.0'
      ? tusHeaders(target, sub, length)
      : asDraft(target, sub, { ...length, 'Upload-Complete': '?0' })
  const {
    status,
    headers: told,
    body,
  } = await rawRequest(target, { method: 'POST', path: '/files', headers })
  if (status !== 201) throw new Error(`creation answered ${status}: ${body}`)
  return told.location?.split('/').at(-1) ?? ''
}

/** Asks how far an upload has come. A request that sends to it is made to stop. */
export async function offsetIn(
  protocol: Protocol,
  target: Target,
  sub: string,
  id: string,
): Promise<number | undefined> {
  const headers = protocol === 'tus 1.0' ? tusHeaders(target, sub) : asDraft(target, sub)
  const answer = await rawRequest(target, { method: 'HEAD', path: `/files/${id}`, headers })
  const offset = answer.headers['upload-offset']
  return answer.status < 300 && offset !== undefined ? Number(offset) : undefined
}

type Append = { offset: number; bytes: number; isLast: boolean }

function appendHeaders(
  protocol: Protocol,
  target: Target,
  sub: string,
  { offset, bytes, isLast }: Append,
): Record<string, string> {
  const both = { 'Upload-Offset': String(offset), 'Content-Length': String(bytes) }
  if (protocol === 'tus 1.0') return tusHeaders(target, sub, { ...both, 'Content-Type': OFFSET_STREAM })
  return asDraft(target, sub, {
    ...both,
    'Content-Type': 'application/partial-upload',
    'Upload-Complete': isLast ? '?1' : '?0',
  })
}

/** Appends what is left of an upload. */
export async function appendRest(
  protocol: Protocol,
  target: Target,
  sub: string,
  id: string,
  rest: { offset: number; body: Uint8Array },
): Promise<Answer> {
  const append = { offset: rest.offset, bytes: rest.body.length, isLast: true }
  const headers = appendHeaders(protocol, target, sub, append)
  return await rawRequest(target, { method: 'PATCH', path: `/files/${id}`, headers, body: rest.body })
}

/** An append on a socket of its own, whose client does with it what the test says. */
export type OpenAppend = {
  /** Resolves when the bytes are out of this process. */
  send(bytes: Uint8Array): Promise<void>
  /** From now on the client is as if it were not there: it neither reads nor closes. */
  vanish(): void
  /** The status that was answered in the end; undefined when the connection ended without. */
  answered: Promise<number | undefined>
  destroy(): void
}

/** Begins an append of `bytes` bytes, which need not be sent. */
export async function openAppend(
  protocol: Protocol,
  target: Target,
  sub: string,
  id: string,
  append: Append,
): Promise<OpenAppend> {
  const { hostname, port } = new URL(target.url)
  const socket = connect(Number(port), hostname)
  await once(socket, 'connect')
  const headers = { Host: hostname, ...appendHeaders(protocol, target, sub, append) }
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`)
  const answered = finalStatusOn(socket)
  socket.write([`PATCH /files/${id} HTTP/1.1`, ...lines, '', ''].join('\r\n'))
  return {
    send: (bytes) =>
      new Promise((resolve, reject) => socket.write(bytes, (error) => (error ? reject(error) : resolve()))),
    vanish: () => void socket.pause(),
    answered,
    destroy: () => void socket.destroy(),
  }
}

/** The first status that is none of an interim response. */
async function finalStatusOn(socket: Socket): Promise<number | undefined> {
  const { promise, resolve } = Promise.withResolvers<number | undefined>()
  let text = ''
  socket.setEncoding('latin1').on('data', (part: string) => {
    text += part
    const statuses = [...text.matchAll(/HTTP\/1\.1 (\d{3}) [^\r]*\r\n/g)].map(([, status]) => Number(status))
    const final = statuses.find((status) => status >= 200)
    if (final !== undefined) resolve(final)
  })
  socket.on('error', () => {
    // It closes as well.
  })
  socket.once('close', () => resolve(undefined))
  return await promise
}
