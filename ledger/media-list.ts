import { type RawBuilder, sql } from 'kysely'
import type { Ledger } from './database.ts'
import type { MediaId, OwnerId } from './ids.ts'
import { type OwnMediaRow, publishedKey, renditionKinds } from './media.ts'
import { withOwnerShare } from './owner-share.ts'
import { firstRow, onlyValue, rowsOf, run } from './rows.ts'
import type { MediaKind, MediaStatus } from './schema.ts'

// Lists of one owner's media items, in any order and by any filters, at a bounded price whatever they have: a page reads
// at most `MAX_READ` rows of them, which takes about 10 ms. Either those that a selective filter finds are few, and are sorted; or the index of
// the order is followed, and what does not match is left out. Then a page may have fewer items than asked for, or none,
// and the list still goes on.

/** `read`: rows that a page reads at most. `few`: so many rows that a filter finds are sorted for each page. */
export type ListBounds = { read: number; few: number }
const BOUNDS: ListBounds = { read: 1_000, few: 1_000 }
export const MAX_READ = BOUNDS.read

/** What a media item is sorted by, in text that orders as its column does when read again by `cast`. */
const KEYS = {
  createdAt: {
    column: sql`created_at`,
    asText: sql`(extract(epoch from created_at) * 1000000)::bigint::text`,
    read: (text: string) => sql`('epoch'::timestamptz + ${text}::bigint * interval '1 microsecond')`,
  },
  name: {
    column: sql`left(lower(coalesce(filename, '') collate "C"), 200)`,
    asText: sql`left(lower(coalesce(filename, '') collate "C"), 200)`,
    read: (text: string) => sql`${text}::text collate "C"`,
  },
  size: { column: sql`size`, asText: sql`size::text`, read: (text: string) => sql`${text}::bigint` },
  // Those without a duration come as if theirs were the shortest.
  duration: {
    column: sql`coalesce(duration_seconds, -1)`,
    asText: sql`coalesce(duration_seconds, -1)::text`,
    read: (text: string) => sql`${text}::float8`,
  },
} satisfies Record<string, { column: RawBuilder<unknown>; asText: RawBuilder<unknown>; read: unknown }>

export type MediaSortKey = keyof typeof KEYS
export type MediaSort = { key: MediaSortKey; isDescending: boolean }

export type MediaFilter = {
  kind?: MediaKind | undefined
  /** Without it, all that are not deleted. `deleted`: those that can be restored, by `createdAt` alone. */
  status?: MediaStatus | undefined
  attachedType?: string | undefined
  attachedId?: string | undefined
  sha256?: string | undefined
  /** Inclusive. */
  createdAfter?: Date | undefined
  /** Exclusive. */
  createdBefore?: Date | undefined
  /** A regular expression of PostgreSQL for the name. */
  name?: string | undefined
}

/** Where a list continues: after this item, whether it is there or not. `key` is its sort key as text. */
export type MediaPosition = { key: string; id: MediaId }

export type MediaListQuery = {
  ownerId: OwnerId
  sort: MediaSort
  filter: MediaFilter
  limit: number
  after?: MediaPosition | undefined
  /** Items to skip; only the first `MAX_READ` rows are looked at. */
  offset?: number
  bounds?: ListBounds
}

export type MediaListPage = {
  rows: OwnMediaRow[]
  /** Undefined at the end of the list. */
  next: MediaPosition | undefined
}

/** A page of the owner's media items. */
export async function listMedia(db: Ledger, query: MediaListQuery): Promise<MediaListPage> {
  const { bounds = BOUNDS } = query
  return await withOwnerShare(db, query.ownerId)
    .transaction()
    .execute(async (trx) => {
      // These would read all that a filter finds before the first row, or what others have. It changes nothing: it waits for
      // locks as any reader does, and not as briefly as transactions that are repeated.
      await run(trx)`
        set local enable_bitmapscan = off; set local enable_seqscan = off; set local lock_timeout to default`
      const plan = await planOf(trx, query, bounds)
      // Where the planner thinks that a page reads a good part of what the owner has, it would rather read and sort it all.
      if (!plan.isSorted) await run(trx)`set local enable_sort = off`
      return await readPage(trx, query, plan, bounds)
    })
}

async function readPage(
  db: Ledger,
  { sort, limit, offset = 0 }: MediaListQuery,
  plan: Plan,
  bounds: ListBounds,
): Promise<MediaListPage> {
  const { column, asText } = KEYS[sort.key]
  const found = await rowsOf<OwnMediaRow & { sortKey: string }>(db)`
    ${plan.source},
    page as materialized (
      -- In their order: a subquery keeps it, and to work out the keys of all of them once more takes as long as to read them.
      select id from (${plan.candidates(sql`limit ${bounds.read}`)}) c
       where ${plan.rest} limit ${limit + 1} offset ${offset}
    )
    select media.*, ${renditionKinds}, ${publishedKey}, ${asText} as "sortKey"
      from page join landfall.media media using (id)
     order by ${column} ${direction(sort)}, id ${direction(sort)}`
  const rows = found.slice(0, limit)
  const last = rows.at(-1)
  if (found.length > limit && last) return { rows, next: { key: last.sortKey, id: last.id } }
  // Either the list ends here, or the limit of what is read has cut it off.
  const bound = await firstRow<MediaPosition>(db)`
    ${plan.source}, last as (${plan.candidates(sql`offset ${bounds.read - 1} limit 1`)})
    select ${asText} as key, id from landfall.media where id = (select id from last)`
  return { rows, next: bound }
}

const direction = ({ isDescending }: MediaSort) => (isDescending ? sql`desc` : sql`asc`)

type Plan = {
  /** Few are found by a filter and sorted. Otherwise the index of the order is followed. */
  isSorted: boolean
  /** The common table expressions that it begins with. */
  source: RawBuilder<unknown>
  /** What is read, in order, at most as many as this `limit` says. */
  candidates: (limit: RawBuilder<unknown>) => RawBuilder<unknown>
  /** What has to be true of a candidate that belongs to the list. */
  rest: RawBuilder<unknown>
}

const all = (conditions: readonly RawBuilder<unknown>[]) =>
  conditions.length === 0 ? sql`true` : sql.join(conditions, sql` and `)

/** Columns that filters look at. */
const FILTERED = sql`kind, status, attached_type, attached_id, sha256, created_at, filename`

async function planOf(own: Ledger, query: MediaListQuery, { few }: ListBounds): Promise<Plan> {
  const { ownerId, sort, filter, after } = query
  const { column, read } = KEYS[sort.key]
  const isOwn = sql`owner_id = ${ownerId}`
  const isListed =
    filter.status === 'deleted' ? sql`status = 'deleted' and purged_at is null` : sql`status <> 'deleted'`
  const place = after
    ? [sql`(${column}, id) ${sort.isDescending ? sql`<` : sql`>`} (${read(after.key)}, ${after.id}::text)`]
    : []
  const { driver, indexed } = await driverOf(own, query, isListed, few)
  const conditions = conditionsOf(filter)
  // Its own conditions are met by every candidate; to check them once more costs nothing that can be measured.
  const rest = all(Object.values(conditions))
  const candidates =
    (from: RawBuilder<unknown>, where: readonly RawBuilder<unknown>[]) => (limit: RawBuilder<unknown>) =>
      sql`select id, ${FILTERED} from ${from}
         where ${all([...where, ...place])} order by ${column} ${direction(sort)}, id ${direction(sort)} ${limit}`
  if (driver) {
    // Materialized: the order must not tempt the planner to follow its index through everything that the owner has.
    // The ids first, as an index of this owner has them: for whole rows it may prefer an index of everybody's.
    const source = sql`with ids as materialized (
      select id from landfall.media where ${all([isOwn, isListed, ...driver])}
    ), few as materialized (
      select id, size, duration_seconds, ${FILTERED} from ids join landfall.media using (id)
    )`
    return { isSorted: true, source, candidates: candidates(sql`few`, []), rest }
  }
  const source = sql`with nothing as (select 1)`
  const where = [isOwn, isListed, ...indexed]
  return { isSorted: false, source, candidates: candidates(sql`landfall.media`, where), rest }
}

type Conditions = Partial<Record<keyof MediaFilter, RawBuilder<unknown>>>

function conditionsOf(filter: MediaFilter): Conditions {
  const { kind, status, attachedType, attachedId, sha256, createdAfter, createdBefore, name } = filter
  return {
    ...(kind === undefined ? {} : { kind: sql`kind = ${kind}` }),
    ...(status === undefined || status === 'deleted' ? {} : { status: sql`status = ${status}` }),
    ...(attachedType === undefined ? {} : { attachedType: sql`attached_type = ${attachedType}` }),
    ...(attachedId === undefined ? {} : { attachedId: sql`attached_id = ${attachedId}` }),
    ...(sha256 === undefined ? {} : { sha256: sql`sha256 = ${sha256}` }),
    ...(createdAfter === undefined ? {} : { createdAfter: sql`created_at >= ${createdAfter}` }),
    ...(createdBefore === undefined ? {} : { createdBefore: sql`created_at < ${createdBefore}` }),
    ...(name === undefined ? {} : { name: sql`coalesce(filename, '') ~ ${name}` }),
  }
}

/**
 * The conditions that find few rows by an index, or none where all of them find many; and for a list by time those which
 * the index of that order has as well.
 */
async function driverOf(
  own: Ledger,
  { ownerId, filter, sort }: MediaListQuery,
  isListed: RawBuilder<unknown>,
  few: number,
): Promise<{ driver: RawBuilder<unknown>[] | undefined; indexed: RawBuilder<unknown>[] }> {
  const { kind, status, attachedType, attachedId, sha256, createdAfter, createdBefore } = conditionsOf(filter)
  const present = (...some: (RawBuilder<unknown> | undefined)[]) => some.filter((one) => one !== undefined)
  // Deleted ones have an index by time alone.
  const ofTime = present(createdAfter, createdBefore)
  const inOrder = filter.status === 'deleted' ? ofTime : present(kind, status, ...ofTime)
  const isByTime = sort.key === 'createdAt'
  const indexed = isByTime ? inOrder : []
  const drivers = [
    present(sha256),
    attachedType ? present(attachedType, attachedId) : [],
    // By time they need no sorting.
    isByTime ? [] : present(kind, status),
    isByTime ? [] : ofTime,
  ]
  for (const driver of drivers) {
    if (driver.length === 0) continue
    const count = await onlyValue<number>(own)`
      select count(*) from (
        select 1 from landfall.media where ${all([sql`owner_id = ${ownerId}`, isListed, ...driver])} limit ${few + 1}
      ) found`
    if (count <= few) return { driver, indexed }
  }
  return { driver: undefined, indexed }
}
