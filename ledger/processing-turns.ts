import { type RawBuilder, sql } from 'kysely'
import { ASYNC_COMMIT, type Ledger } from './database.ts'
import type { OwnerId } from './ids.ts'

// Whose turn it is. Owners share the workers: each has its files in a line of its own, and the lines advance side by
// side (self-clocked fair queueing, S. J. Golestani 1994). A file's turn is the virtual time at which it would be done,
// were its owner's line served beside all others; the clock shows the turn of the file taken last. So an owner's two
// hundred files do not stand before another's next one, and no owner gets less later for what was done for them while
// nobody else waited. The clock never follows the one on the wall: while files wait, an owner who came earlier would then
// stand before all who come later.

/** Kinds of work that is shared out by turns. */
export type TurnKind = 'processing' | 'again' | 'analysis' | 'transcoding'

/** A virtual time: milliseconds of work. */
export type Turn = number

/** Of what was its owner's turn before, such as a file that goes on when its analysis is over. */
export const AT_ONCE: Turn = 0

const LEAST_MS = 500
/** Of work, estimated: a second. */
const BYTES_PER_MS = 10_000
const MAX_MS = 3_600_000
/** Work that its owner's longer files do not hold up. */
const SHORT_MS = 1_000

/** What a file of so many bytes costs its owner, in virtual time. */
export const turnCost = (size: RawBuilder<number>): RawBuilder<number> =>
  sql`greatest(${sql.lit(LEAST_MS)}, least(${size} / ${sql.lit(BYTES_PER_MS)}, ${sql.lit(MAX_MS)}))`

/** The same as `isShort`, of a file of so many bytes. */
export const isShortFile = (bytes: number): boolean => bytes / BYTES_PER_MS <= SHORT_MS

export const isShort = (size: RawBuilder<number>): RawBuilder<boolean> =>
  sql`${turnCost(size)} <= ${sql.lit(SHORT_MS)}`

/** A plain read: nobody who sends a file waits for the row, or keeps others waiting for it. */
export const turnClock = (kind: TurnKind): RawBuilder<number> =>
  sql`(select now_ms from landfall.turn_clocks where kind = ${sql.lit(kind)})`

/**
 * For an update of `quota_usage u` that charges an owner for one new file of so many bytes. Short files have a line of
 * their own before their owner's longer ones, for which the longer ones that come later pay.
 */
export const chargeTurn = (size: RawBuilder<number>): RawBuilder<unknown> => sql`
  turn_until_ms = greatest(u.turn_until_ms, ${turnClock('processing')}) + ${turnCost(size)},
  short_turn_until_ms = case when ${isShort(size)}
    then greatest(u.short_turn_until_ms, ${turnClock('processing')}) + ${turnCost(size)}
    else u.short_turn_until_ms end`

/** The turn that `chargeTurn` has charged, of the updated row. */
export const chargedTurn = (size: RawBuilder<number>): RawBuilder<Turn> =>
  sql`case when ${isShort(size)} then u.short_turn_until_ms else u.turn_until_ms end`

/** Gives an owner's next piece of work its turn, and charges the owner for it. */
export async function takeTurn(
  db: Ledger,
  work: { kind: TurnKind; ownerId: OwnerId; size: number },
): Promise<Turn> {
  const cost = turnCost(sql`${work.size}::bigint`)
  const { rows } = await sql<{ turn: Turn }>`
    insert into landfall.turns as t (kind, owner_id, until_ms)
    select ${work.kind}, ${work.ownerId}, coalesce((select now_ms from landfall.turn_clocks where kind = ${work.kind}), 0) + ${cost}
    on conflict (kind, owner_id) do update
      set until_ms = greatest(excluded.until_ms, t.until_ms + ${cost})
    returning until_ms as turn`.execute(db)
  return rows[0]?.turn ?? AT_ONCE
}

/** Work of this turn was taken: what is queued from now on is behind it. Lost in a crash, it is said by the next. */
export async function advanceClock(db: Ledger, kind: TurnKind, turn: Turn): Promise<void> {
  await sql`
    update landfall.turn_clocks set now_ms = ${Math.floor(turn)}::bigint
      from (select ${ASYNC_COMMIT}) lazily
     where kind = ${kind} and now_ms < ${Math.floor(turn)}::bigint`.execute(db)
}

/** Forgets the turns that say nothing any more: the clock is past them. Returns how many. */
export async function clearPastTurns(db: Ledger): Promise<number> {
  const { numAffectedRows } = await sql`
    delete from landfall.turns t using landfall.turn_clocks c
     where c.kind = t.kind and t.until_ms <= c.now_ms`.execute(db)
  return Number(numAffectedRows ?? 0)
}
