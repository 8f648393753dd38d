import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { OFFSET_STREAM, tusHeaders } from './raw-http.ts'
import type { Target } from './tus.ts'

/** A PATCH on a socket of its own, whose end the test chooses. */
export type SlowPatch = {
  /** Resolves when the bytes are out of this process. */
  send(bytes: Uint8Array): Promise<void>
  /** Ends the connection as a client does that dies: what it has not read is lost. */
  reset(): void
  /** Says that no more will come, in the middle of the body. */
  finish(): void
  /** The status that was answered; undefined when the connection ended without. */
  answered: Promise<number | undefined>
}

/** Begins a PATCH of `bytes` bytes; those are announced, and need not be sent. */
export async function beginPatch(
  target: Target,
  sub: string,
  id: string,
  append: { offset: number; bytes: number },
): Promise<SlowPatch> {
  const { hostname, port } = new URL(target.url)
  const socket = connect(Number(port), hostname)
  await once(socket, 'connect')
  const headers = tusHeaders(target, sub, {
    Host: hostname,
    'Upload-Offset': String(append.offset),
    'Content-Type': OFFSET_STREAM,
    'Content-Length': String(append.bytes),
  })
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`)
  const answered = statusOn(socket)
  socket.write([`PATCH /files/${id} HTTP/1.1`, ...lines, '', ''].join('\r\n'))
  return {
    send: (bytes) =>
      new Promise((resolve, reject) => socket.write(bytes, (error) => (error ? reject(error) : resolve()))),
    reset: () => void socket.resetAndDestroy(),
    finish: () => void socket.end(),
    answered,
  }
}

async function statusOn(socket: Socket): Promise<number | undefined> {
  const { promise, resolve } = Promise.withResolvers<number | undefined>()
  let text = ''
  socket.setEncoding('latin1').on('data', (part: string) => {
    text += part
    const status = /^HTTP\/1\.1 (\d{3}) .*\r\n/.exec(text)?.[1]
    if (status) resolve(Number(status))
  })
  socket.on('error', () => {
    // It closes as well.
  })
  socket.once('close', () => resolve(undefined))
  return await promise
}
