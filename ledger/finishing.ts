import { sql } from 'kysely'
import { Batches, perLedger, usageExecutor } from './batches.ts'
import type { Ledger } from './database.ts'
import type { DueMedia, EnqueueProcessing } from './due-work.ts'
import { logEvents, uploadEvent } from './event-log.ts'
import { isStoredOpen } from './expiry.ts'
import type { MediaId } from './ids.ts'
import { type Fenced, releasedLease } from './lease-fragments.ts'
import { withOwnerLock } from './owner-share.ts'
import { prepared } from './prepared.ts'
import {
  AT_ONCE,
  chargedTurn,
  chargeTurn,
  isShort,
  type Turn,
  turnClock,
  turnCost,
} from './processing-turns.ts'
import { convert } from './quotas.ts'
import { mediaOf } from './received-media.ts'
import { type PartsInJson, partsInJson, recordStoredParts } from './stored-parts.ts'
import type { Append, Committed } from './uploads.ts'

/**
 * The append that completes the upload: state `received`, media row, quota reserved → used, event and processing job in
 * one transaction, and the lease is released. After a crash before it the client resumes; after a crash behind it the
 * worker carries on.
 */
export async function finishUpload(
  db: Ledger,
  append: Append,
  mediaId: MediaId,
  enqueue: EnqueueProcessing,
): Promise<Committed> {
  const item = { append, mediaId, enqueue }
  return append.storedParts ? await finishAlone(db, item) : await finishes(db).add(item)
}

type Finish = { append: Append; mediaId: MediaId; enqueue: EnqueueProcessing }

const finishes = perLedger(
  (db) =>
    new Batches<Finish, Committed>(
      {
        ownerOf: ({ append }) => append.ownerId,
        together: (items) => finishTogether(db, items),
        alone: (item) => finishAlone(db, item),
        locksOwner: true,
      },
      usageExecutor(db),
    ),
)

/**
 * Finishes uploads whose rows are as expected and not locked, each under its own fence. Others are left to
 * `finishAlone`, which waits and reports what is wrong.
 */
async function finishTogether(db: Ledger, items: readonly Finish[]): Promise<(Committed | undefined)[]> {
  const enqueue = items[0]?.enqueue
  if (!enqueue || items.some((item) => item.enqueue !== enqueue)) return []
  const given = items.map(({ append: { id, fence, offset, to }, mediaId }) => ({
    id,
    fence,
    begins: offset,
    ends: to,
    media_id: mediaId,
  }))
  return await db.transaction().execute(async (trx) => {
    const finished = await finishFree(trx, { given: JSON.stringify(given) })
    if (finished.length > 0) await enqueue(trx, finished)
    const contended = new Map(finished.map((media) => [media.id, media.contended]))
    return items.map(({ mediaId }) => {
      const isContended = contended.get(mediaId)
      return isContended === undefined ? undefined : { kind: 'committed', contended: isContended }
    })
  })
}

const finishFree = prepared<{ given: string }, DueMedia & { contended: boolean }>(
  (slot) => sql`
      with given as materialized (
        select * from jsonb_to_recordset(${slot('given')}::jsonb) as g (
          id text, fence uuid, begins bigint, ends bigint, media_id text)
      ), lease as materialized (
        select g.*, l.contended from given g join landfall.upload_locks l on l.upload_id = g.id and l.fence = g.fence
           for update of l skip locked
      ), whole as materialized (
        select l.*, u.owner_id
          from lease l join landfall.uploads u on u.id = l.id
         where u."offset" = l.begins and u.size = l.ends and ${isStoredOpen('u')} for update of u skip locked
      ), usage as materialized (
        select owner_id, greatest(turn_until_ms, ${turnClock('processing')}) as turn,
               greatest(short_turn_until_ms, ${turnClock('processing')}) as short_turn
          from landfall.quota_usage
         where owner_id = any(select owner_id from whole) for update skip locked
      ), appended as (
        update landfall.uploads u
           set "offset" = w.ends, state = 'received', media_id = w.media_id, received_at = now(), updated_at = now()
          from whole w join usage using (owner_id)
         where u.id = w.id
        returning u.*, w.contended
      ), placed as (
        -- One after another where they are one owner's: short ones behind short ones, longer ones behind all.
        select a.id, a.owner_id, c.cost, c.is_short,
               case when c.is_short
                 then u.short_turn + sum(c.cost) filter (where c.is_short) over before
                 else u.turn + sum(c.cost) over before end as turn
          from appended a join usage u using (owner_id),
               lateral (select ${turnCost(sql`a.size`)} as cost, ${isShort(sql`a.size`)} as is_short) c
        window before as (partition by a.owner_id order by a.size, a.id rows unbounded preceding)
      ), released as (
        delete from landfall.upload_locks l using appended a where l.upload_id = a.id
      ), costs as (
        select owner_id, sum(cost)::bigint as cost, coalesce(sum(cost) filter (where is_short), 0)::bigint as short_cost
          from placed group by owner_id
      ), charged as (${convert(
        'appended',
        sql`turn_until_ms = t.turn + c.cost,
            short_turn_until_ms = case when c.short_cost > 0 then t.short_turn + c.short_cost
                                       else u.short_turn_until_ms end`,
        sql`join usage t using (owner_id) join costs c using (owner_id)`,
      )}), media as (${mediaOf('appended')}), ${logEvents(uploadEvent('appended', 'upload.received'))}
      select a.media_id as id, a.owner_id as "ownerId", a.size, a.contended, p.turn::bigint as turn
        from appended a join placed p using (id)`,
)

async function finishAlone(db: Ledger, { append, mediaId, enqueue }: Finish): Promise<Committed> {
  return await withOwnerLock(db, append.ownerId, async (trx) => {
    const { id, fence, offset, to, storedParts } = append
    const run = storedParts ? FINISH.parts : FINISH.file
    const [row] = await run(trx, { id, fence, offset, to, mediaId, ...partsInJson(storedParts) })
    if (!row) return { kind: 'lease-lost' }
    await enqueue(trx, [{ id: mediaId, ownerId: append.ownerId, size: append.to, turn: row.turn }])
    return { kind: 'committed', contended: row.contended }
  })
}

type FinishParameters = Fenced & PartsInJson & { offset: number; to: number; mediaId: MediaId }

const finishing = (hasParts: boolean) =>
  prepared<FinishParameters, { contended: boolean; turn: Turn }>(
    (slot) => sql`
      with ${releasedLease({ id: slot('id'), fence: slot('fence') })}, appended as (
        update landfall.uploads
           set "offset" = ${slot('to')}::bigint, state = 'received', media_id = ${slot('mediaId')},
               received_at = now(), updated_at = now()
          from lease
         where id = lease.upload_id and "offset" = ${slot('offset')}::bigint and ${isStoredOpen()}
           and size = ${slot('to')}::bigint
        returning uploads.*, lease.contended
      ), charged as (
        ${convert('appended', chargeTurn(sql`r.bytes`))} returning ${chargedTurn(sql`r.bytes`)} as turn
      ), media as (${mediaOf('appended')}), ${logEvents(uploadEvent('appended', 'upload.received'))}${hasParts ? recordStoredParts({ parts: slot('parts'), tails: slot('tails') }) : sql``}
      select contended, coalesce(turn, ${AT_ONCE}::bigint) as turn from appended left join charged on true`,
  )

const FINISH = { file: finishing(false), parts: finishing(true) }
