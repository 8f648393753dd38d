import { createHash, randomBytes } from 'node:crypto'
import type { Request, Response } from 'express'
import type { Ledger } from '../../ledger/database.ts'
import { ownerOf } from '../../ledger/ids.ts'
import { findTicket, storeTicket } from '../../ledger/stream-tickets.ts'
import { authenticated } from '../http/deadlines.ts'
import { Problem } from '../http/errors.ts'
import type { Principal } from './principal.ts'

const TTL_MS = 60_000
const TICKET = /^[A-Za-z0-9_-]{43}$/

/**
 * A ticket for clients that cannot send headers, such as EventSource: it starts streams for a minute with the rights of
 * its token, or with those of the owner for whom a backend asks. It may be used several times, as EventSource reconnects.
 */
export async function giveTicket(
  db: Ledger,
  { ownerId, scopes, isNamed }: Principal,
): Promise<{ ticket: string; expiresAt: Date }> {
  const ticket = randomBytes(32).toString('base64url')
  const stored = { hash: hashOf(ticket), ownerId, scopes: isNamed ? [] : [...scopes], ttlMs: TTL_MS }
  return { ticket, expiresAt: await storeTicket(db, stored) }
}

/** Accepts the ticket in the query in place of a token. For streams only. */
export async function authenticateByTicket(
  request: Request,
  response: Response,
  db: Ledger,
): Promise<Principal> {
  const { ticket } = request.query
  if (typeof ticket !== 'string' || !TICKET.test(ticket))
    throw new Problem('token-invalid', 'The ticket is malformed.')
  const found = await findTicket(db, hashOf(ticket))
  // Expired tickets are removed, so they cannot be told from unknown ones.
  if (!found) throw new Problem('token-expired', 'The ticket has expired. Request a new one.')
  const { ownerId, scopes } = found
  const principal = { ownerId, tenantId: ownerOf(ownerId).tenantId, scopes: new Set(scopes) }
  response.locals.principal = principal
  authenticated(request)
  return principal
}

/** Tickets are random enough for a plain hash. */
const hashOf = (ticket: string): Buffer => createHash('sha256').update(ticket).digest()
