import type { Selectable } from 'kysely'
import type { Ledger } from './database.ts'
import type { OwnerId, UploadId } from './ids.ts'
import type { EventsTable } from './schema.ts'

export type EventRow = Selectable<EventsTable>

/**
 * The events of an owner's upload after `afterId`, oldest first. The changes of one upload follow
 * each other, so their ids rise in the order in which they became visible.
 */
export async function eventsOfUpload(
  db: Ledger,
  query: { ownerId: OwnerId; uploadId: UploadId; afterId: number },
): Promise<EventRow[]> {
  return await db
    .selectFrom('events')
    .selectAll()
    .where('upload_id', '=', query.uploadId)
    .where('owner_id', '=', query.ownerId)
    .where('id', '>', query.afterId)
    .orderBy('id')
    .limit(1000)
    .execute()
}
