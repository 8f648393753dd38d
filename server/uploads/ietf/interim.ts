import type { ServerResponse } from 'node:http'
import type { InteropVersion } from './fields.ts'

const UPLOAD_RESUMPTION_SUPPORTED = 104
/** Minimum interval of progress responses. */
const PROGRESS_MS = 500

/** The interim responses to one request (§ Status Code 104): none unless the client names this version of the draft. */
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
