import type { IncomingMessage } from 'node:http'
import type { Response } from 'express'
import { awaitsContinue } from './expect-continue.ts'
import type { Prepare } from './layer.ts'

/** How long a refused client may go on sending, whatever it sends, before its connection is closed. */
const LINGER_MS = 5_000
/** How much of a rejected file is read at once: gigabytes may be left of it. */
const MAX_DROPPED_BYTES = 512 * 1024
/** Time for the response to arrive. Browsers read it only when they cannot send any more. */
const ARRIVAL_MS = 1_000
/**
 * Clients that write a whole body before they read, as Java's HttpURLConnection does, learn of a refusal only when all
 * of it was read: so much is. tus-java-client sends 10 MiB in a request.
 */
const PATIENT_BYTES = 16 * 1024 * 1024
/** Time limit for that, for clients whose bytes come so fast that it suffices: 4.5 Mbit/s for 16 MiB. */
const PATIENT_MS = 30_000
/** Refused clients that are waited for so long at a time. Others get no more than `LINGER_MS`. */
const PATIENT_CLIENTS = 64

export type DrainLimits = {
  lingerMs: number
  arrivalMs: number
  patientMs: number
  patientClients: number
}

const LIMITS: DrainLimits = {
  lingerMs: LINGER_MS,
  arrivalMs: ARRIVAL_MS,
  patientMs: PATIENT_MS,
  patientClients: PATIENT_CLIENTS,
}

/**
 * Reads and discards what is left of refused bodies. A client must be able to read the response to a request that it is
 * still sending: if the connection were closed at once, the kernel would discard it.
 */
export class Drain {
  readonly #limits: DrainLimits
  #patientClients = 0

  constructor(limits: Partial<DrainLimits> = {}) {
    this.#limits = { ...LIMITS, ...limits }
  }

  /** How many refused clients are waited for beyond the usual time. */
  get patientClients(): number {
    return this.#patientClients
  }

  /** For every request: drains after a response that leaves its connection open, and offers `discardRest` for others. */
  readonly prepare: Prepare = (request, response) => {
    const rest = new Rest(request)
    response.locals.discardRest = () => this.#beforeClose(rest, response)
    // When a response ends, Node discards a body that nobody has begun to read, and does not pass it on.
    response.once('prefinish', () => {
      if (!request.complete) request.read(0)
    })
    response.once('finish', () => {
      if (!request.complete && !request.destroyed) void this.#afterwards(rest)
    })
  }

  /** The connection may serve another request when all was read in time; otherwise it is closed. */
  async #afterwards(rest: Rest): Promise<void> {
    rest.drop()
    await rest.over(this.#limits.lingerMs)
    await this.#patiently(() => this.#untilWhole(rest))
    // Not ended by the request's 'close', which comes with the response and not with the last byte.
    if (!rest.isOver) rest.request.socket.destroy()
  }

  /**
   * Of a response whose end closes its connection, and that is written but not ended: resolves when the client has had
   * time to see it. Never fails.
   */
  async #beforeClose(rest: Rest, response: Response): Promise<void> {
    if (rest.isOver || (awaitsContinue(response) && !rest.hasBegun)) return
    const { lingerMs, arrivalMs } = this.#limits
    rest.drop()
    await rest.over(lingerMs, MAX_DROPPED_BYTES)
    if (rest.isOver) return
    // A client that looks at the response sees it now, and stops.
    rest.request.pause()
    await rest.over(arrivalMs)
    // A client of which nothing came waits for nothing.
    const isSending = rest.dropped >= Math.min(rest.maxBytes, MAX_DROPPED_BYTES)
    if (rest.isOver || rest.maxBytes > PATIENT_BYTES || !isSending) return
    await this.#patiently(async () => {
      rest.request.resume()
      await rest.over(lingerMs, PATIENT_BYTES)
      await this.#untilWhole(rest)
    })
  }

  /** Goes on only where the rest will have come in time. */
  async #untilWhole(rest: Rest): Promise<void> {
    const { lingerMs, patientMs } = this.#limits
    const needed = Math.min(rest.maxBytes, PATIENT_BYTES) * (lingerMs / patientMs)
    if (rest.maxBytes <= PATIENT_BYTES && rest.dropped >= needed)
      await rest.over(patientMs - lingerMs, PATIENT_BYTES)
  }

  async #patiently(work: () => Promise<void>): Promise<void> {
    if (this.#patientClients >= this.#limits.patientClients) return
    this.#patientClients += 1
    try {
      await work()
    } finally {
      this.#patientClients -= 1
    }
  }
}

/** What is left of a body. */
class Rest {
  readonly request: IncomingMessage
  readonly #before: number
  /** The bytes that may be left. Of a chunked body that is not known: the most that is waited for. */
  maxBytes = 0
  dropped = 0
  #wakeAt = Number.POSITIVE_INFINITY
  #wake = () => {}

  constructor(request: IncomingMessage) {
    this.request = request
    this.#before = request.socket.bytesRead
  }

  /** Whether bytes have come since the headers. A client that expected 100 Continue may have given up waiting for it. */
  get hasBegun(): boolean {
    return this.request.socket.bytesRead > this.#before
  }

  get isOver(): boolean {
    return this.request.complete || this.request.socket.destroyed
  }

  /** Begins to discard what arrives. */
  drop(): void {
    const { request } = this
    const length = request.headers['content-length']
    const received = request.socket.bytesRead - this.#before
    this.maxBytes = length === undefined ? PATIENT_BYTES : Number(length) - received
    // The former reader would pause it again once its own buffer is full.
    request.removeAllListeners('data').removeAllListeners('readable')
    request.unpipe()
    // Not resume(): removing the listeners stops a flowing stream for good.
    request.on('data', (chunk: Buffer) => {
      this.dropped += chunk.byteLength
      if (this.dropped >= this.#wakeAt) this.#wake()
    })
    request.once('end', () => this.#wake())
  }

  /** Resolves at the end of the body or its connection, after this time, or when so many bytes were dropped in all. */
  async over(ms: number, mostBytes = Number.POSITIVE_INFINITY): Promise<void> {
    if (this.isOver || this.dropped >= mostBytes) return
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, ms).unref()
    this.#wakeAt = mostBytes
    this.#wake = resolve
    // Not for longer: the connection may serve thousands of other requests.
    const { socket } = this.request
    socket.once('close', resolve)
    await promise
    socket.off('close', resolve)
    clearTimeout(timer)
  }
}
