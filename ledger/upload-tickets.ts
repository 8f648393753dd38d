import { type Selectable, sql } from 'kysely'
import type { Ledger, LedgerTransaction } from './database.ts'
import { type OwnerId, ownerOf, type UploadId } from './ids.ts'
import { withOwnerShare } from './owner-share.ts'
import { PARTIALS_PER_UPLOAD } from './quotas.ts'
import { changedRows, firstRow, hasRow, onlyRow } from './rows.ts'
import type { UploadTerms, UploadTicketsTable } from './schema.ts'

// A ticket lets its bearer begin a number of uploads for its owner. An upload that ended without a byte, or with the
// request that began it, gives its place back: so places are counted by the uploads, under a lock of the ticket. The rows
// are kept for as long as that matters: see `retention.ts`.

/** Uploads that may be begun for each place, whatever becomes of them: they are counted with each. */
const ATTEMPTS = 100

export type NewTicket = {
  id: string
  tokenHash: Buffer
  ownerId: OwnerId
  /** Bytes; null for the server's limit. */
  maxSize: number | null
  /** Media types and ranges, separated by commas; null for those of the server. */
  allowedTypes: string | null
  /** Keys and values that every upload gets, whatever its client says. */
  metadata: Record<string, string | null>
  uploadsAllowed: number
  /** How long an upload may be begun. */
  beginWithinSeconds: number
  /** How long an upload may last; null for the server's limit. */
  uploadWithinSeconds: number | null
}

/** `used`: places that uploads have taken. `is_over`: no upload can be begun any more, by its time. */
export type TicketRow = Selectable<UploadTicketsTable> & { used: number; is_over: boolean }

/** A ticket as its bearer uses it. */
export type BearerTicket = {
  id: string
  ownerId: OwnerId
  terms: Omit<UploadTerms, 'until'>
  uploadWithinSeconds: number | null
  metadata: Record<string, string | null>
  isOver: boolean
  isRevoked: boolean
}

/**
 * For a row `u` of `uploads`: whether it holds a place. Of one request alone nothing is kept where it ended. The link of a
 * form cannot be taken back.
 */
const holdsPlace = sql<boolean>`(
  not u.is_partial and (
    u.state in ('open', 'received') or u.media_id is not null or (u."offset" > 0 and u.protocol <> 'simple')
    or (u.protocol = 'direct' and exists (
      select from landfall.upload_tails t where t.upload_id = u.id and t.late_until is not null
    ))
  )
)`

const used = sql<number>`(
  select count(*) from landfall.uploads u where u.ticket_id = upload_tickets.id and ${holdsPlace}
)`

const SHOWN = sql`upload_tickets.*, ${used} as used, begin_before <= now() as is_over`

/** Stores a ticket. Returns its row. */
export async function issueTicket(db: Ledger, ticket: NewTicket): Promise<TicketRow> {
  const row = await firstRow<TicketRow>(withOwnerShare(db, ticket.ownerId))`
    insert into landfall.upload_tickets
      (id, token_hash, owner_id, tenant_id, max_size, allowed_types, metadata, uploads_allowed, begin_before,
       upload_within_seconds)
    values
      (${ticket.id}, ${ticket.tokenHash}, ${ticket.ownerId}, ${ownerOf(ticket.ownerId).tenantId}::text,
       ${ticket.maxSize}::bigint, ${ticket.allowedTypes}::text, ${JSON.stringify(ticket.metadata)}::jsonb,
       ${ticket.uploadsAllowed}::integer, now() + make_interval(secs => ${ticket.beginWithinSeconds}::float8),
       ${ticket.uploadWithinSeconds}::integer)
    returning upload_tickets.*, 0 as used, false as is_over`
  if (!row) throw new Error('a ticket was not stored')
  return row
}

/** The ticket with this hash, whether or not it can still be used; undefined where there is none. */
export async function findBearerTicket(db: Ledger, tokenHash: Buffer): Promise<BearerTicket | undefined> {
  // The owner is not known yet: all requests with tickets, valid or not, use one common share.
  const row = await firstRow<Selectable<UploadTicketsTable> & { is_over: boolean }>(
    withOwnerShare(db, 'tickets'),
  )`
    select *, begin_before <= now() as is_over from landfall.upload_tickets where token_hash = ${tokenHash}`
  return (
    row && {
      id: row.id,
      ownerId: row.owner_id,
      terms: {
        ...(row.max_size === null ? {} : { maxSize: row.max_size }),
        ...(row.allowed_types === null ? {} : { types: row.allowed_types }),
      },
      uploadWithinSeconds: row.upload_within_seconds,
      metadata: row.metadata,
      isOver: row.is_over,
      isRevoked: row.revoked_at !== null,
    }
  )
}

/** Whether an upload was begun with this ticket. */
export async function isOfTicket(
  db: Ledger,
  { ownerId, id: ticketId }: Pick<BearerTicket, 'ownerId' | 'id'>,
  uploadId: UploadId,
): Promise<boolean> {
  return await hasRow(withOwnerShare(db, ownerId))`
    select 1 from landfall.uploads where id = ${uploadId} and ticket_id = ${ticketId} and owner_id = ${ownerId}`
}

/**
 * Locks a ticket until the transaction is over. Returns whether this upload can be begun with it: the ticket has a place,
 * its time is not over, and it is not revoked. A partial upload takes no place, but the file that it is for will need one:
 * all that are open have no more bytes than the files may have, and there are no more of them than an owner may have for
 * each file.
 */
export async function lockPlace(
  trx: LedgerTransaction,
  ticketId: string,
  { isPartial, reservedBytes }: { isPartial: boolean; reservedBytes: number },
): Promise<boolean> {
  const ticket = await firstRow<{ uploads_allowed: number; max_size: number | null }>(trx)`
    select uploads_allowed, max_size from landfall.upload_tickets
     where id = ${ticketId} and revoked_at is null and begin_before > now() for update`
  if (!ticket) return false
  const { uploads_allowed: allowed, max_size: maxSize } = ticket
  // A statement of its own sees the uploads that were begun until the lock was taken.
  const begun = await onlyRow<{ taken: number; all: number; partials: number; bytes: number }>(trx)`
    select count(*) filter (where ${holdsPlace})::int as taken, count(*)::int as all,
           count(*) filter (where u.is_partial and u.state = 'open')::int as partials,
           coalesce(sum(u.reserved_bytes) filter (where u.is_partial and u.state = 'open'), 0)::bigint as bytes
      from landfall.uploads u where u.ticket_id = ${ticketId}`
  if (begun.taken >= allowed || begun.all >= allowed * ATTEMPTS) return false
  if (!isPartial) return true
  const isWithin = maxSize === null || begun.bytes + reservedBytes <= allowed * maxSize
  return isWithin && begun.partials < allowed * PARTIALS_PER_UPLOAD
}

/** Whose tickets are listed: an owner's, or those of all owners of a tenant (`null`: without one), or everybody's. */
export type TicketsOf = { ownerId: OwnerId } | { tenantId: string | null } | 'everybody'

export type TicketPage = {
  of: TicketsOf
  limit: number
  after?: { createdAtMicros: string; id: string } | undefined
}

/** A page of tickets, newest first. */
export async function listTickets(
  db: Ledger,
  { of, limit, after }: TicketPage,
): Promise<(TicketRow & { createdAtMicros: string })[]> {
  const share = of !== 'everybody' && 'ownerId' in of ? of.ownerId : ''
  let query = withOwnerShare(db, share)
    .selectFrom('landfall.upload_tickets as upload_tickets')
    .selectAll()
    .select([
      used.as('used'),
      sql<boolean>`begin_before <= now()`.as('is_over'),
      sql<string>`(extract(epoch from created_at) * 1000000)::bigint::text`.as('createdAtMicros'),
    ])
  if (of !== 'everybody') {
    query =
      'ownerId' in of
        ? query.where('owner_id', '=', of.ownerId)
        : query.where(sql<boolean>`coalesce(tenant_id, '') = ${of.tenantId ?? ''}`)
  }
  if (after)
    query = query.where(
      sql<boolean>`(created_at, id) < ('epoch'::timestamptz + ${after.createdAtMicros}::bigint * interval '1 microsecond', ${after.id})`,
    )
  return await query.orderBy('created_at', 'desc').orderBy('id', 'desc').limit(limit).execute()
}

/** The ticket of an owner; undefined for that of another one as well. */
export async function findTicket(db: Ledger, ownerId: OwnerId, id: string): Promise<TicketRow | undefined> {
  return await firstRow<TicketRow>(withOwnerShare(db, ownerId))`
    select ${SHOWN} from landfall.upload_tickets as upload_tickets where id = ${id} and owner_id = ${ownerId}`
}

/** Revokes the ticket of an owner: no further request is let in with it. Idempotent. Returns whether there is one. */
export async function revokeTicket(db: Ledger, ownerId: OwnerId, id: string): Promise<boolean> {
  return await hasRow(withOwnerShare(db, ownerId))`
    update landfall.upload_tickets set revoked_at = coalesce(revoked_at, now())
     where id = ${id} and owner_id = ${ownerId} returning id`
}

/** Removes tickets whose time to begin was over so long ago, at most `limit`. Returns how many. */
export async function pruneTickets(db: Ledger, ageMs: number, limit: number): Promise<number> {
  return await changedRows(db)`
    with due as (
      select id from landfall.upload_tickets
       where begin_before < now() - make_interval(secs => ${ageMs / 1000}::float8)
         -- Its bearer still sends bytes.
         and not exists (select 1 from landfall.uploads u where u.ticket_id = upload_tickets.id and u.state = 'open')
       order by begin_before limit ${limit}
    )
    delete from landfall.upload_tickets t using due where t.id = due.id`
}
