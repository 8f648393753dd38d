import type { Bus } from '../ledger/bus.ts'
import type { UploadRow } from '../ledger/uploads.ts'

/**
 * After the commit that completed an upload: wakes listeners, the worker among them. Only
 * speed depends on it; the job and the event are in the ledger already. Returns the headers that
 * tell the client which media its upload has become.
 */
export function postFinish(bus: Bus, upload: UploadRow): Record<string, string> {
  void bus.publish({ t: 'event', id: upload.id, queue: 'processing' })
  if (upload.media_id === null) return {}
  return {
    'Upload-Media-Id': upload.media_id,
    Link: `</api/v1/media/${upload.media_id}>; rel="describedby"`,
  }
}
