import { sql } from 'kysely'
import type { Ledger } from './database.ts'
import type { OwnerId } from './ids.ts'
import { withOwnerShare } from './owner-share.ts'

export type StreamTicket = { ownerId: OwnerId; scopes: readonly string[] }

/** Stores the hash of a ticket for `ttlMs`. Returns its expiry. */
export async function storeTicket(
  db: Ledger,
  ticket: StreamTicket & { hash: Buffer; ttlMs: number },
): Promise<Date> {
  const { expires_at } = await withOwnerShare(db, ticket.ownerId)
    .insertInto('landfall.stream_tickets')
    .values({
      token_hash: ticket.hash,
      owner_id: ticket.ownerId,
      scopes: [...ticket.scopes],
      expires_at: sql<Date>`now() + make_interval(secs => ${ticket.ttlMs / 1000})`,
    })
    .returning('expires_at')
    .executeTakeFirstOrThrow()
  return expires_at
}

/** The ticket with this hash; undefined when there is none, or it has expired. */
export async function findTicket(db: Ledger, hash: Buffer): Promise<StreamTicket | undefined> {
  // The owner is not known yet: all requests with tickets, valid or not, use one common share.
  const row = await withOwnerShare(db, 'tickets')
    .selectFrom('landfall.stream_tickets')
    .select(['owner_id', 'scopes'])
    .where('token_hash', '=', hash)
    .where('expires_at', '>', sql<Date>`now()`)
    .executeTakeFirst()
  return row && { ownerId: row.owner_id, scopes: row.scopes }
}

/** Removes expired tickets. Returns how many. */
export async function clearExpiredTickets(db: Ledger): Promise<number> {
  const { numDeletedRows } = await db
    .deleteFrom('landfall.stream_tickets')
    .where('expires_at', '<=', sql<Date>`now()`)
    .executeTakeFirst()
  return Number(numDeletedRows)
}
