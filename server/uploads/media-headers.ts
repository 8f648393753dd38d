import type { UploadRow } from '../../ledger/uploads.ts'

/** The headers with the media item of an upload; empty while it is not one. */
export function mediaHeaders({ media_id: id }: Pick<UploadRow, 'media_id'>): Record<string, string> {
  return id === null ? {} : { 'Upload-Media-Id': id, Link: `</api/v1/media/${id}>; rel="describedby"` }
}
