import { randomBytes } from 'node:crypto'
import type { Answer } from './answer.ts'
import { type Capabilities, discover, type Need, type Reception, whatIsMissing } from './capabilities.ts'
import { skip } from './expectations.ts'
import type { Interop, Protocol } from './protocols.ts'
import { Exchange, type RequestHeaders, type WireRequest } from './wire.ts'

/** The server that is looked at. */
export type Target = {
  /** Where uploads are created. */
  endpoint: URL
  /** A bearer token for every request; null where nobody asks for one. */
  token: string | null
  interop: Interop
  capabilities: Capabilities
}

/** A request to the creation URL, or to the upload at `at`. */
export type PeerRequest = WireRequest & { at?: URL }

/** An `ftyp` box and the name of the next one: what servers that look at the first bytes take for an MP4. */
const MP4_HEAD = Buffer.from('000000206674797069736f6d0000020069736f6d69736f32617663316d703431', 'hex')
const BOX_HEADER_BYTES = 8

/** What a client says about its file: what servers that allow some types only are most likely to allow. */
export const FILE = { name: 'clip.mp4', type: 'video/mp4' } as const

/** Bytes of an MP4 without pictures: random ones in a box that players skip. */
export function mediaBytes(size: number): Buffer {
  const box = Buffer.alloc(BOX_HEADER_BYTES)
  box.writeUInt32BE(Math.max(size - MP4_HEAD.byteLength, BOX_HEADER_BYTES))
  box.write('free', 4)
  return Buffer.concat([MP4_HEAD, box, randomBytes(size)]).subarray(0, size)
}

const FORGET_TIMEOUT_MS = 2000

const authorization = (token: string | null): RequestHeaders =>
  token === null ? {} : { Authorization: `Bearer ${token}` }

/** Finds out what a server can do. Fails when it cannot be reached. */
export async function findTarget(options: Omit<Target, 'capabilities'>): Promise<Target> {
  const { endpoint, token, interop } = options
  const headers = authorization(token)
  /** A server may do the IETF draft and not say so in OPTIONS; then it names an upload resource all the same. */
  const probe = async (version: Interop): Promise<Reception> => {
    const answer = await Exchange.send(endpoint, {
      method: 'POST',
      headers: {
        ...headers,
        'Upload-Draft-Interop-Version': String(version),
        'Upload-Complete': '?0',
        'Content-Type': FILE.type,
        'Content-Disposition': `inline; filename="${FILE.name}"`,
      },
    })
    const announced = answer.interim.find(
      (interim) =>
        interim.status === 104 && interim.headers.get('Upload-Draft-Interop-Version') === String(version),
    )
    const location = (announced ?? answer).headers.get('Location')
    const isCreated = answer.status >= 200 && answer.status < 300 && location !== undefined
    if (location !== undefined && (announced || isCreated)) {
      const peer = new Peer({ ...options, interop: version, capabilities: NOTHING }, 'ietf')
      await peer.forget(new URL(location, endpoint))
    }
    return announced ? 'announced' : isCreated ? 'created' : 'none'
  }
  return { ...options, capabilities: await discover(endpoint, headers, interop, probe) }
}

const NOTHING: Capabilities = {
  hasTus: false,
  hasIetf: false,
  otherInterop: undefined,
  extensions: [],
  checksums: [],
  maxSize: undefined,
  limits: undefined,
  hasToken: false,
}

/** A server, as one row uses it. What the row leaves open or unfinished goes with `close`. */
export class Peer {
  readonly target: Target
  readonly #protocol: Protocol
  readonly #exchanges = new Set<Exchange>()
  readonly #uploads = new Map<string, URL>()
  #isClosed = false

  constructor(target: Target, protocol: Protocol) {
    this.target = target
    this.#protocol = protocol
  }

  get capabilities(): Capabilities {
    return this.target.capabilities
  }

  get interop(): Interop {
    return this.target.interop
  }

  offers(need: Need): boolean {
    return whatIsMissing(need, this.capabilities) === undefined
  }

  /** Skips the row unless the server offers this. */
  needs(need: Need): void {
    const missing = whatIsMissing(need, this.capabilities)
    if (missing !== undefined) skip(missing)
  }

  /** Sends a whole request, with the token. */
  async send(request: PeerRequest): Promise<Answer> {
    const exchange = await this.open(request)
    if (request.body) void exchange.send(request.body)
    if (request.isChunked) exchange.end()
    try {
      return await exchange.answer
    } finally {
      exchange.cut()
    }
  }

  /** Sends a request up to its body, with the token. */
  async open({ at = this.target.endpoint, ...request }: PeerRequest): Promise<Exchange> {
    const headers = { ...authorization(this.target.token), ...request.headers }
    const exchange = await Exchange.open(at, { ...request, headers })
    if (this.#isClosed) exchange.cut()
    this.#exchanges.add(exchange)
    return exchange
  }

  /** What a Location leads to: it may be relative. Remembers the upload, to remove it after the row. */
  locate(location: string): URL {
    const url = new URL(location, this.target.endpoint)
    this.#uploads.set(url.href, url)
    return url
  }

  /** A URL that looks like that of an upload and is none. */
  unknownUrl(known: URL): URL {
    const rotate = (character: string) => (character === 'a' ? 'b' : 'a')
    const last = known.pathname.lastIndexOf('/') + 1
    const name = known.pathname.slice(last).replace(/[A-Za-z\d]/g, rotate)
    return new URL(known.pathname.slice(0, last) + name, known)
  }

  /** Cuts what is open, and removes the uploads that it has seen where the server can. */
  async close(): Promise<void> {
    this.#isClosed = true
    for (const exchange of this.#exchanges) exchange.cut()
    await Promise.all([...this.#uploads.values()].map((url) => this.forget(url)))
  }

  /** Tidies up after a row, whose result does not depend on it: an upload that stays expires one day. */
  async forget(url: URL): Promise<void> {
    const version =
      this.#protocol === 'tus'
        ? { 'Tus-Resumable': '1.0.0' }
        : { 'Upload-Draft-Interop-Version': String(this.interop) }
    const headers = { ...authorization(this.target.token), ...version }
    try {
      const exchange = await Exchange.open(url, { method: 'DELETE', headers })
      const timer = setTimeout(() => exchange.cut(), FORGET_TIMEOUT_MS)
      await exchange.answer.finally(() => {
        clearTimeout(timer)
        exchange.cut()
      })
    } catch {
      // A server that is gone is noticed by the next row.
    }
  }
}
