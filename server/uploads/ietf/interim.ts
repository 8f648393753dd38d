import type { ServerResponse } from 'node:http'
import type { InteropVersion } from './fields.ts'

const UPLOAD_RESUMPTION_SUPPORTED = 104
/** Not more often than this is a client told how far its bytes are stored. */
const PROGRESS_MS = 500

/**
 * The interim responses to one request (§ Status Code 104): none where the client does not say that it knows this
 * version of the draft.
 */
export class InterimResponses {
  readonly #response: ServerResponse
  readonly #version: InteropVersion | undefined
  #progressAt = 0

  constructor(response: ServerResponse, version: InteropVersion | undefined) {
    this.#response = response
    this.#version = version
  }

  /** Tells where the upload can be resumed. */
  sendLocation(location: string, limits: string): void {
    this.#send({ Location: location, 'Upload-Limit': limits })
  }

  /** Tells how many bytes will never have to be sent again. */
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
