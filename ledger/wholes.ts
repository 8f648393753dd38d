import { sql } from 'kysely'
import type { Ledger } from './database.ts'
import { isOpenNow, isStoredOpen } from './expiry.ts'
import type { OwnerId, UploadId } from './ids.ts'
import type { ReadKey } from './metadata-keys.ts'
import { withOwnerShare } from './owner-share.ts'
import { rowsOf } from './rows.ts'

// The file that partial uploads are for. tus 1.0 tells it only when a final upload names them, which clients create when
// all of them are complete. Before that, only what a client says in their metadata tells that they belong together:
// `whole`, a text of its choice that is the same for all partials of a file, and `wholesize`, the bytes of that file.

const keyOf = (key: ReadKey) => sql.lit(key)
const WHOLE = keyOf('whole')
const WHOLE_SIZE = keyOf('wholesize')

/** A partial upload of a whole. */
export type WholePart = { id: UploadId; key: string | null; offset: number; size: number | null }

/** A file that is uploaded in partials: by a final upload, or by what their client says of them. */
export type Whole = {
  finalId: UploadId | null
  /** For partials that are still to be completed. */
  isWaiting: boolean
  /** Bytes as a final upload has them, or as the client says; null where neither is known. */
  size: number | null
  /** In no order. Without those that are still to come. */
  parts: readonly WholePart[]
}

/**
 * The wholes of these uploads, partial or final ones. Of a partial one: every final that waits for it, one of those that are
 * received, and what its client says. `ownerId`: who asks for uploads of
 * their own; undefined for this node, which asks for those of any owner. Reads the open uploads of the owners concerned.
 */
export async function wholesOf(
  db: Ledger,
  ownerId: OwnerId | undefined,
  ids: readonly UploadId[],
): Promise<Whole[]> {
  const part = sql`jsonb_build_object('id', p.id, 'key', p.metadata ->> ${WHOLE}, 'offset', p."offset", 'size', p.size)`
  return await rowsOf<Whole>(ownerId === undefined ? db : withOwnerShare(db, ownerId))`
    with asked as materialized (
      select id, owner_id, is_partial, metadata ->> ${WHOLE} as key from landfall.uploads where id = any(${ids}::text[])
    ), open_finals as materialized (
      select f.id from (select distinct owner_id from asked where is_partial) o
        join landfall.uploads f using (owner_id)
       where ${isStoredOpen('f')} and not f.is_partial and f.concat is not null
    ), finals as materialized (
      select c.final_id from open_finals f
        join landfall.upload_concat c on c.final_id = f.id join asked on asked.id = c.partial_id
      union
      select id from asked where not is_partial
      union
      select received.id from asked cross join lateral (
        select f.id from landfall.upload_concat c join landfall.uploads f on f.id = c.final_id
         where c.partial_id = asked.id and f.state = 'received' limit 1
      ) received
    ), said as materialized (
      select distinct owner_id, key from asked where is_partial and key is not null
    )
    select f.id as "finalId", ${isStoredOpen('f')} as "isWaiting", f.size, c.parts
      from finals join landfall.uploads f on f.id = finals.final_id
     cross join lateral (
       select jsonb_agg(${part}) as parts from landfall.upload_concat c
         join landfall.uploads p on p.id = c.partial_id where c.final_id = f.id
     ) c
     where f.state in ('open', 'received') and c.parts is not null
    union all
    select null, false, max(case when p.metadata ->> ${WHOLE_SIZE} ~ '^\\d{1,15}$' then (p.metadata ->> ${WHOLE_SIZE})::bigint end),
           jsonb_agg(${part})
      from said join (
        select * from landfall.uploads where ${isOpenNow} and is_partial
      ) p on p.owner_id = said.owner_id and p.metadata ->> ${WHOLE} = said.key
     group by said.owner_id, said.key`
}
