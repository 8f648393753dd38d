import { type RawBuilder, type Selectable, sql } from 'kysely'
import type { Ledger } from './database.ts'
import type { MediaId, OwnerId } from './ids.ts'
import type { MediaRow } from './media.ts'
import { withOwnerLock, withOwnerShare } from './owner-share.ts'
import { changedRows, firstRow, hasRow, onlyRow, onlyValue, rowsOf } from './rows.ts'
import type { MediaLinksTable } from './schema.ts'

// A link that its owner asked for has a row, by which it can be revoked. Its address is signed and not kept: it can be
// made again from the row. Links that are given with every media item have none.

/** Links of one media item that can be followed at the same time. */
export const MAX_LIVE_LINKS = 100

export type MediaLinkRow = Selectable<MediaLinksTable>

export type NewMediaLink = {
  id: string
  mediaId: MediaId
  ownerId: OwnerId
  kinds: readonly string[]
  disposition: 'inline' | 'attachment' | null
  filename: string | null
  /** Seconds since 1970. */
  expires: number
}

export type CreatedLink =
  | { kind: 'created'; row: MediaLinkRow }
  /** The media item is not ready any more. */
  | { kind: 'absent' }
  | { kind: 'too-many' }

const isLive = sql<boolean>`(revoked_at is null and expires_at > now())`

/** Stores a link to a ready media item of its owner, unless that has `MAX_LIVE_LINKS` already. */
export async function createMediaLink(db: Ledger, link: NewMediaLink): Promise<CreatedLink> {
  return await withOwnerLock(db, link.ownerId, async (trx) => {
    const isReady = await hasRow(trx)`
      select 1 from landfall.media
       where id = ${link.mediaId} and owner_id = ${link.ownerId} and status = 'ready' for no key update`
    if (!isReady) return { kind: 'absent' }
    // A statement of its own sees the links that were made until the lock was taken.
    const live = await onlyValue<number>(trx)`
      select count(*)::int from landfall.media_links where media_id = ${link.mediaId} and ${isLive}`
    if (live >= MAX_LIVE_LINKS) return { kind: 'too-many' }
    const row = await onlyRow<MediaLinkRow>(trx)`
      insert into landfall.media_links (id, media_id, owner_id, kinds, disposition, filename, expires_at)
      values (${link.id}, ${link.mediaId}, ${link.ownerId}, ${link.kinds}::text[], ${link.disposition}::text,
              ${link.filename}::text, to_timestamp(${link.expires}::bigint))
      returning *`
    return { kind: 'created', row }
  })
}

/** The links to a media item of an owner that can be followed, newest first. */
export async function liveLinks(db: Ledger, ownerId: OwnerId, mediaId: MediaId): Promise<MediaLinkRow[]> {
  return await rowsOf<MediaLinkRow>(withOwnerShare(db, ownerId))`
    select * from landfall.media_links
     where media_id = ${mediaId} and owner_id = ${ownerId} and ${isLive}
     order by created_at desc, id limit ${MAX_LIVE_LINKS}`
}

/** Revokes a link of an owner: the next request with it is refused. Idempotent. Returns whether there is one. */
export async function revokeMediaLink(
  db: Ledger,
  { ownerId, mediaId, id }: { ownerId: OwnerId; mediaId: MediaId; id: string },
): Promise<boolean> {
  return await hasRow(withOwnerShare(db, ownerId))`
    update landfall.media_links set revoked_at = coalesce(revoked_at, now())
     where id = ${id} and media_id = ${mediaId} and owner_id = ${ownerId} returning id`
}

/**
 * The media item of a signed link, and whether the link is revoked: the row of `linkId` is revoked or missing, or of
 * another media item. A link without a row is never revoked. One read for both, as it precedes each byte.
 */
export async function findLinkedMedia(
  db: Ledger,
  id: MediaId,
  linkId?: string,
): Promise<{ media: MediaRow; isRevoked: boolean } | undefined> {
  // The owner is not known yet: all requests by link use one common share.
  const row = await firstRow<MediaRow & { is_revoked: boolean }>(withOwnerShare(db, 'links'))`
    select media.*, ${linkId === undefined ? sql`false` : isRevoked(linkId)} as is_revoked
      from landfall.media where id = ${id} and status <> 'deleted'`
  if (!row) return undefined
  const { is_revoked: isRevokedLink, ...media } = row
  return { media, isRevoked: isRevokedLink }
}

const isRevoked = (linkId: string): RawBuilder<boolean> => sql`not exists (
  select 1 from landfall.media_links l where l.id = ${linkId} and l.media_id = media.id and l.revoked_at is null
)`

/** Part of a statement: removes the links to the media items whose `id` is in `from`. */
export const removeLinks = (from: string): RawBuilder<unknown> => sql`
  delete from landfall.media_links l using ${sql.table(from)} m where l.media_id = m.id`

/** Removes links that expired or were revoked so long ago, at most `limit`. Returns how many. */
export async function pruneLinks(db: Ledger, ageMs: number, limit: number): Promise<number> {
  return await changedRows(db)`
    with due as (
      select id from landfall.media_links
       where least(expires_at, revoked_at) < now() - make_interval(secs => ${ageMs / 1000}::float8)
       order by least(expires_at, revoked_at) limit ${limit}
    )
    delete from landfall.media_links l using due where l.id = due.id`
}
