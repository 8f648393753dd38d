import type { IncomingMessage, ServerResponse } from 'node:http'
import { showsProxy } from '../../http/proxy-headers.ts'
import type { InteropVersion } from './fields.ts'

const UPLOAD_RESUMPTION_SUPPORTED = 104
/** Minimum interval of progress responses. */
const PROGRESS_MS = 500

/**
 * Makes the function that says whether interim responses to a request may be sent. `auto`: not where the request shows a
 * proxy. Every proxy has to forward them, but nginx 1.22 takes a 104 for the final response, and its client gets
 * nothing that it could read.
 */
export const interimRule =
  (setting: 'auto' | 'on' | 'off') =>
  (request: Pick<IncomingMessage, 'headers'>): boolean =>
    setting === 'on' || (setting === 'auto' && !showsProxy(request))

/** The interim responses to one request (§ Status Code 104): none without a `version` of the draft. */
export class InterimResponses {
  readonly #response: ServerResponse
  readonly #version: InteropVersion | undefined
  #progressAt = 0

  constructor(response: ServerResponse, version: InteropVersion | undefined) {
    this.#response = response
    this.#version = version
  }

  /** Sends the address for resuming the upload. */
  sendLocation(location: string, limits: string): void {
    this.#send({ Location: location, 'Upload-Limit': limits })
  }

  /** Sends how many bytes are stored for good. */
  progress(offset: number): void {
    const now = performance.now()
    if (now - this.#progressAt < PROGRESS_MS) return
    this.#progressAt = now
    this.#send({ 'Upload-Offset': String(offset) })
  }

  #send(headers: Record<string, string>): void {
    const { req, headersSent, destroyed, writableEnded } = this.#response
    if (this.#version === undefined || headersSent || destroyed || writableEnded) return
    // HTTP/1.0 knows none (RFC 9110 § 15.2).
    if (req.httpVersion === '1.0') return
    this.#response.writeInformation(UPLOAD_RESUMPTION_SUPPORTED, {
      'Upload-Draft-Interop-Version': String(this.#version),
      ...headers,
    })
  }
}
