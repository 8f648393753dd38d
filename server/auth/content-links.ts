import { createHmac, timingSafeEqual } from 'node:crypto'
import type { MediaId } from '../../ledger/ids.ts'
import { Problem } from '../errors.ts'

export type LinkTarget = 'content' | 'thumbnail' | 'storyboard' | 'storyboard.vtt' | 'waveform'

const HOUR_SECONDS = 3600

/**
 * Links that a browser can follow from `<img>` and `<video>`, which send no token: an expiry and a
 * signature over it, good for one media and one target. Given only to who may see the media.
 */
export class ContentLinks {
  readonly #key: Buffer

  constructor(key: Buffer) {
    this.#key = key
  }

  /** The path and query of a link. It stays the same for an hour, so that caches work, and lives one to two. */
  sign(id: MediaId, target: LinkTarget, now = Date.now()): string {
    const expires = (Math.floor(now / 1000 / HOUR_SECONDS) + 2) * HOUR_SECONDS
    const signature = this.#signature(id, target, String(expires))
    return `/api/v1/media/${id}/${target}?expires=${expires}&signature=${signature}`
  }

  /** Whether the query carries a link's signature; throws when it does and the signature is wrong or over. */
  check(id: MediaId, target: LinkTarget, query: { expires?: unknown; signature?: unknown }): boolean {
    if (query.signature === undefined) return false
    const expires = String(query.expires)
    // Text against text: several texts decode to the same bytes, and only one of them is the link.
    const given = Buffer.from(String(query.signature))
    const expected = Buffer.from(this.#signature(id, target, expires))
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) {
      throw new Problem('token-invalid', 'The signature of the link is wrong.', {
        headers: { 'WWW-Authenticate': 'Bearer' },
      })
    }
    if (Number(expires) * 1000 <= Date.now()) {
      throw new Problem('token-expired', 'The link has expired.', {
        headers: { 'WWW-Authenticate': 'Bearer' },
      })
    }
    return true
  }

  #signature(id: MediaId, target: LinkTarget, expires: string): string {
    return createHmac('sha256', this.#key).update(`${id}\n${target}\n${expires}`).digest('base64url')
  }
}
