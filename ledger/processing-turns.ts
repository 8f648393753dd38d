import { type RawBuilder, sql } from 'kysely'
import { ASYNC_COMMIT, type Ledger } from './database.ts'
import type { OwnerId } from './ids.ts'
import { changedRows, onlyValue, run } from './rows.ts'

// Fair sharing of the workers between owners by virtual time (self-clocked fair queueing, S. J. Golestani 1994). A
// file's turn is the virtual time at which it would be done if its owner were served beside all others; the clock shows
// the turn of the file taken last. So two hundred files of one owner do not delay another owner's next file, and no
// owner pays later for work that was done while nobody else waited. The clock does not follow real time: otherwise,
// while files wait, owners who came earlier would precede all later ones.

/** Kinds of work that are shared by turns. */
export type TurnKind = 'processing' | 'again' | 'analysis' | 'transcoding'

/** A virtual time: milliseconds of work. */
export type Turn = number

/** For work whose turn has come before, such as a file that continues after its analysis. */
export const AT_ONCE: Turn = 0

const LEAST_MS = 500
/** Estimated work: a second. */
const BYTES_PER_MS = 10_000
const MAX_MS = 3_600_000
/** Files of at most this much work do not wait for their owner's longer ones. */
const SHORT_MS = 1_000

/** What a file of so many bytes costs its owner, in virtual time. */
export const turnCost = (size: RawBuilder<number>): RawBuilder<number> =>
  sql`greatest(${sql.lit(LEAST_MS)}, least(${size} / ${sql.lit(BYTES_PER_MS)}, ${sql.lit(MAX_MS)}))`

/** As `isShort`, for a number of bytes. */
export const isShortFile = (bytes: number): boolean => bytes / BYTES_PER_MS <= SHORT_MS

export const isShort = (size: RawBuilder<number>): RawBuilder<boolean> =>
  sql`${turnCost(size)} <= ${sql.lit(SHORT_MS)}`

/** A plain read without a lock. */
export const turnClock = (kind: TurnKind): RawBuilder<number> =>
  sql`(select now_ms from landfall.turn_clocks where kind = ${sql.lit(kind)})`

/**
 * For an update of `quota_usage u`: charges an owner for one new file of so many bytes. Short files have a queue of
 * their own before their owner's longer files, at the cost of later ones.
 */
export const chargeTurn = (size: RawBuilder<number>): RawBuilder<unknown> => sql`
  turn_until_ms = greatest(u.turn_until_ms, ${turnClock('processing')}) + ${turnCost(size)},
  short_turn_until_ms = case when ${isShort(size)}
    then greatest(u.short_turn_until_ms, ${turnClock('processing')}) + ${turnCost(size)}
    else u.short_turn_until_ms end`

/** The turn that `chargeTurn` has charged, from the updated row. */
export const chargedTurn = (size: RawBuilder<number>): RawBuilder<Turn> =>
  sql`case when ${isShort(size)} then u.short_turn_until_ms else u.turn_until_ms end`

/** Assigns the turn of an owner's next work, and charges the owner for it. */
export async function takeTurn(
  db: Ledger,
  work: { kind: TurnKind; ownerId: OwnerId; size: number },
): Promise<Turn> {
  const cost = turnCost(sql`${work.size}::bigint`)
  return await onlyValue<Turn>(db)`
    insert into landfall.turns as t (kind, owner_id, until_ms)
    select ${work.kind}, ${work.ownerId}, coalesce((select now_ms from landfall.turn_clocks where kind = ${work.kind}), 0) + ${cost}
    on conflict (kind, owner_id) do update
      set until_ms = greatest(excluded.until_ms, t.until_ms + ${cost})
    returning until_ms`
}

/** Work with this turn was taken: the clock advances to it. If a crash loses that, the next one makes up for it. */
export async function advanceClock(db: Ledger, kind: TurnKind, turn: Turn): Promise<void> {
  await run(db)`
    update landfall.turn_clocks set now_ms = ${Math.floor(turn)}::bigint
      from (select ${ASYNC_COMMIT}) lazily
     where kind = ${kind} and now_ms < ${Math.floor(turn)}::bigint`
}

/** Deletes turns that the clock has passed. Returns how many. */
export async function clearPastTurns(db: Ledger): Promise<number> {
  return await changedRows(db)`
    delete from landfall.turns t using landfall.turn_clocks c
     where c.kind = t.kind and t.until_ms <= c.now_ms`
}
