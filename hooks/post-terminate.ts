import type { Bus } from '../ledger/bus.ts'
import type { UploadId } from '../ledger/ids.ts'

/** After the commit that ended an upload: wakes listeners, the worker that removes its bytes among them. */
export function postTerminate(bus: Bus, uploadId: UploadId): void {
  void bus.publish({ t: 'event', id: uploadId, queue: 'removal' })
}
