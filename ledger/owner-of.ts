import type { Ledger } from './database.ts'
import type { OwnerId } from './ids.ts'
import { withOwnerShare } from './owner-share.ts'

/** What belongs to an owner and is asked for by its id. */
export type Subject = 'upload' | 'media' | 'delivery' | 'ticket'

const TABLES = {
  upload: 'landfall.uploads',
  media: 'landfall.media',
  delivery: 'landfall.webhook_deliveries',
  ticket: 'landfall.upload_tickets',
} as const

/** Whose something is; undefined where it does not exist. In the share of the owner who asks, who may be another. */
export async function ownerOfSubject(
  db: Ledger,
  asking: OwnerId,
  { subject, id }: { subject: Subject; id: string },
): Promise<OwnerId | undefined> {
  const row = await withOwnerShare(db, asking)
    .selectFrom(TABLES[subject])
    .select('owner_id')
    .where('id', '=', id as never)
    .executeTakeFirst()
  return row?.owner_id
}
