import { timingSafeEqual } from 'node:crypto'
import type { MediaId } from '../../ledger/ids.ts'
import { linkSignature, signedPath } from '../../storage/signed-path.ts'
import type { HlsNumber } from '../../storage/store/keys.ts'
import { Problem } from '../http/errors.ts'

export type LinkTarget =
  | 'content'
  /** The file before it is ready, for the analysis engine. */
  | 'source'
  | 'thumbnail'
  | 'storyboard'
  | 'storyboard.vtt'
  | 'waveform'
  | 'hls.m3u8'
  | `hls/${HlsNumber}.m3u8`
  | `hls/${HlsNumber}.mp4`

const HOUR_SECONDS = 3600

/**
 * Signed links for `<img>` and `<video>`, which send no token: valid until their expiry, for one media item and one
 * target. Given only to clients that may see the media item.
 */
export class ContentLinks {
  readonly #key: Buffer

  constructor(key: Buffer) {
    this.#key = key
  }

  /**
   * Path and query of a link. It stays the same for an hour, so that caches work, and is valid for one to two hours,
   * plus `moreHours`.
   */
  sign(id: MediaId, target: LinkTarget, now = Date.now(), moreHours = 0): string {
    const expires = (Math.floor(now / 1000 / HOUR_SECONDS) + 2 + moreHours) * HOUR_SECONDS
    return signedPath(this.#key, id, target, expires)
  }

  /** Whether the query has a signature; throws when that is wrong or expired. */
  check(id: MediaId, target: string, query: { expires?: unknown; signature?: unknown }): boolean {
    if (query.signature === undefined) return false
    const expires = String(query.expires)
    // Compared as texts: several texts decode to the same bytes, and only one of them is the link.
    const given = Buffer.from(String(query.signature))
    const expected = Buffer.from(linkSignature(this.#key, id, target, expires))
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) {
      throw new Problem('token-invalid', 'The signature of the link is invalid.', {
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
}
