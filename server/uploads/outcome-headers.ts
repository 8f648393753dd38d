import type { UploadRow } from '../../ledger/uploads.ts'
import { mediaPath } from '../../storage/signed-path.ts'
import type { Addresses } from '../http/addresses.ts'

type Outcome = Pick<UploadRow, 'state' | 'media_id' | 'expires_at'>

/**
 * The headers with the media item of an upload; empty while it is not one. Every answer about an upload has them: where
 * the last one is lost, its client asks again and learns the same.
 */
export function mediaHeaders(
  { media_id: id }: Pick<Outcome, 'media_id'>,
  { reference }: Addresses,
): Record<string, string> {
  if (id === null) return {}
  return { 'Upload-Media-Id': id, Link: `<${reference(mediaPath(id))}>; rel="describedby"` }
}

/** What an answer of tus 1.0 tells of an upload: its media item, or when it expires (§ Upload-Expires). */
export function outcomeHeaders(upload: Outcome, addresses: Addresses): Record<string, string> {
  return {
    ...mediaHeaders(upload, addresses),
    ...(upload.state === 'open' && { 'Upload-Expires': upload.expires_at.toUTCString() }),
  }
}
