import type { Ledger } from './database.ts'
import type { OwnerId } from './ids.ts'
import { withOwnerShare } from './owner-share.ts'
import { onlyValue } from './rows.ts'

const LAST = 20

/** Seconds in which the last files of an owner became ready, on average; null where there are none. */
export async function usualSeconds(db: Ledger, ownerId: OwnerId): Promise<number | null> {
  return await onlyValue<number | null>(withOwnerShare(db, ownerId))`
    select round(avg(extract(epoch from ready_at - created_at)), 1)::float8 as seconds
      from (
        select ready_at, created_at from landfall.media
         where owner_id = ${ownerId} and status = 'ready' order by created_at desc limit ${LAST}
      ) as last_ones`
}
