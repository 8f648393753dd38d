import { once } from 'node:events'
import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { type Answer, type Interim, readAnswer } from './answer.ts'

// HTTP/1.1 by hand: no client of Node sends exactly these headers, stops in the middle of a body, adds trailers and
// shows every interim response.

/** `undefined` leaves a header out that would be sent otherwise; several values are lines of their own. */
export type RequestHeaders = Readonly<Record<string, string | readonly string[] | undefined>>

export type WireRequest = {
  method: string
  headers?: RequestHeaders
  /** Sent with its Content-Length, or in chunks. */
  body?: Uint8Array
  /** Sends the body in chunks, without a Content-Length. */
  isChunked?: boolean
  /** The Content-Length of a body that is sent piece by piece. */
  length?: number
  /** The method whose answers this one is read as: that to HEAD has no body, whatever its Content-Length says. */
  answeredAs?: string
}

/** The connection ended, or was cut here, before the answer was complete. */
export class NoAnswer extends Error {}

const CONNECT_TIMEOUT_MS = 5000
const HAS_CONTENT = new Set(['POST', 'PATCH', 'PUT'])

/** A request under way, alone on its connection. */
export class Exchange {
  /** Interim responses so far. */
  interim: readonly Interim[] = []
  /** Fails with `NoAnswer`. */
  readonly answer: Promise<Answer>
  /** Resolves when the connection is gone, whichever side closed it. */
  readonly closed: Promise<unknown>
  readonly #socket: Socket
  readonly #isChunked: boolean
  #wakers = new Set<() => void>()

  private constructor(socket: Socket, request: WireRequest) {
    this.#socket = socket
    this.#isChunked = request.isChunked === true
    this.closed = once(socket, 'close').catch(() => {})
    this.answer = this.#read(request.answeredAs ?? request.method)
    // The caller that awaits it sees whether there is one.
    this.answer.catch(() => {})
  }

  /** Connects and sends everything up to the body. */
  static async open(url: URL, request: WireRequest): Promise<Exchange> {
    const socket = await connect(url)
    const exchange = new Exchange(socket, request)
    socket.write(headOf(url, request), 'latin1')
    return exchange
  }

  /** Sends a whole request and gives its answer, even if that comes before the request's end. */
  static async send(url: URL, request: WireRequest): Promise<Answer> {
    const exchange = await Exchange.open(url, request)
    try {
      if (request.body) void exchange.send(request.body)
      if (request.isChunked) exchange.end()
      return await exchange.answer
    } finally {
      exchange.cut()
    }
  }

  /** A piece of the body. Resolves with whether it left this process: the server may not have waited for it. */
  async send(bytes: Uint8Array): Promise<boolean> {
    if (bytes.byteLength === 0) return true
    const framed = this.#isChunked
      ? Buffer.concat([Buffer.from(`${bytes.byteLength.toString(16)}\r\n`), bytes, Buffer.from('\r\n')])
      : bytes
    const written = new Promise<boolean>((resolve) => this.#socket.write(framed, (error) => resolve(!error)))
    return await Promise.race([written, this.closed.then(() => false)])
  }

  /** Ends a body of chunks; trailers come after it. */
  end(trailers: Readonly<Record<string, string>> = {}): void {
    const lines = Object.entries(trailers).map(([name, value]) => `${name}: ${value}\r\n`)
    this.#socket.write(`0\r\n${lines.join('')}\r\n`, 'latin1')
  }

  /** Breaks the connection. */
  cut(): void {
    this.#socket.destroy()
  }

  /** The first interim response that is wanted; undefined when there is none in time, or before the answer. */
  async interimThat(
    isWanted: (interim: Interim) => boolean,
    timeoutMs: number,
  ): Promise<Interim | undefined> {
    const deadline = Date.now() + timeoutMs
    let isOver = false
    const over = this.answer
      .catch(() => {})
      .then(() => {
        isOver = true
      })
    for (;;) {
      const found = this.interim.find(isWanted)
      const left = deadline - Date.now()
      if (found || isOver || left <= 0) return found
      await Promise.race([this.#news(left), over])
    }
  }

  /** Resolves with the next interim response, or after this time. */
  #news(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer)
        this.#wakers.delete(wake)
        resolve()
      }
      const timer = setTimeout(wake, timeoutMs)
      this.#wakers.add(wake)
    })
  }

  #read(method: string): Promise<Answer> {
    return new Promise((resolve, reject) => {
      let bytes: Buffer = Buffer.alloc(0)
      const take = (hasEnded: boolean) => {
        try {
          const { interim, final } = readAnswer(bytes, method, hasEnded)
          this.interim = interim
          for (const wake of [...this.#wakers]) wake()
          if (final) resolve(final)
        } catch (error) {
          reject(error)
          this.cut()
        }
      }
      this.#socket.on('data', (chunk: Buffer) => {
        bytes = Buffer.concat([bytes, chunk])
        take(false)
      })
      // Having refused, a server may reset a connection on which a body still comes; what it said before counts.
      this.#socket.on('error', () => {})
      this.#socket.on('end', () => take(true))
      this.#socket.on('close', () => {
        for (const wake of [...this.#wakers]) wake()
        reject(new NoAnswer('the connection ended without an answer'))
      })
    })
  }
}

async function connect(url: URL): Promise<Socket> {
  // A URL writes IPv6 addresses in brackets, which are not part of them.
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1')
  const isTls = url.protocol === 'https:'
  const port = Number(url.port) || (isTls ? 443 : 80)
  const socket = isTls ? connectTls({ host, port, servername: host }) : connectTcp({ host, port })
  const timer = setTimeout(
    () => socket.destroy(new Error(`no connection to ${url.host}`)),
    CONNECT_TIMEOUT_MS,
  )
  try {
    await once(socket, isTls ? 'secureConnect' : 'connect')
    return socket.setNoDelay(true)
  } finally {
    clearTimeout(timer)
  }
}

function headOf(url: URL, request: WireRequest): string {
  const { method, headers = {}, body, isChunked, length = body?.byteLength } = request
  const framing = isChunked
    ? { 'Transfer-Encoding': 'chunked' }
    : { 'Content-Length': length?.toString() ?? (HAS_CONTENT.has(method) ? '0' : undefined) }
  const all: RequestHeaders = { Host: url.host, Connection: 'close', ...framing, ...headers }
  const lines = Object.entries(all).flatMap(([name, value = []]) =>
    [value].flat().map((line) => `${name}: ${line}\r\n`),
  )
  return `${method} ${url.pathname}${url.search} HTTP/1.1\r\n${lines.join('')}\r\n`
}
