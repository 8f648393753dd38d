import type { UploadRow } from '../../ledger/uploads.ts'

/** The headers that tell a client which media item its upload has become; none as long as it is none. */
export function mediaHeaders({ media_id: id }: Pick<UploadRow, 'media_id'>): Record<string, string> {
  return id === null ? {} : { 'Upload-Media-Id': id, Link: `</api/v1/media/${id}>; rel="describedby"` }
}
