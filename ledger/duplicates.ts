import type { Ledger } from './database.ts'
import type { MediaId } from './ids.ts'
import { firstValue, run } from './rows.ts'

/**
 * Finds, once the hash of a media item is known, the media item of the same owner with the same bytes: the oldest ready
 * one, or one in processing that was found to be the first. Records it, or that this one is the first: of equal files
 * processed at the same moment exactly one is. Returns its id; undefined for the first, or where the media item has
 * ended. Idempotent.
 */
export async function settleDuplicate(db: Ledger, id: MediaId, sha256: string): Promise<MediaId | undefined> {
  return await db.transaction().execute(async (trx) => {
    // Those that change the media item lock it first; then one at a time among equal files.
    await run(trx)`select 1 from landfall.media where id = ${id} for update`
    await run(trx)`
      select pg_advisory_xact_lock(hashtextextended(owner_id || ' ' || ${sha256}, 0)) from landfall.media where id = ${id}`
    // A statement of its own sees what the one before this one has settled.
    const original = await firstValue<MediaId | null>(trx)`
      with same as (
        select o.id from landfall.media m
          join landfall.media o on o.owner_id = m.owner_id and o.sha256 = ${sha256} and o.size = m.size and o.id <> m.id
         where m.id = ${id} and (o.status = 'ready' or (o.status = 'processing' and o.is_original))
         order by o.status <> 'ready', o.created_at, o.id limit 1
      )
      update landfall.media m
         set sha256 = ${sha256}, duplicate_of = (select id from same), is_original = not exists (select from same)
       where m.id = ${id} and m.status in ('processing', 'ready')
      returning duplicate_of`
    return original ?? undefined
  })
}
