import { createHash, randomBytes } from 'node:crypto'
import type { Request, Response } from 'express'
import type { Ledger } from '../../ledger/database.ts'
import { findTicket, storeTicket } from '../../ledger/stream-tickets.ts'
import { authenticated } from '../http/deadlines.ts'
import { Problem } from '../http/errors.ts'
import type { Principal } from './principal.ts'

const TTL_MS = 60_000
const TICKET = /^[A-Za-z0-9_-]{43}$/

/**
 * Tickets for clients that cannot send headers, such as EventSource: each starts streams for a minute with the rights
 * of its token. It may be used several times, as EventSource reconnects.
 */
export class StreamTickets {
  readonly #db: Ledger

  constructor(db: Ledger) {
    this.#db = db
  }

  async give(principal: Principal): Promise<{ ticket: string; expiresAt: Date }> {
    const ticket = randomBytes(32).toString('base64url')
    const expiresAt = await storeTicket(this.#db, {
      hash: hashOf(ticket),
      ownerId: principal.ownerId,
      scopes: [...principal.scopes],
      ttlMs: TTL_MS,
    })
    return { ticket, expiresAt }
  }

  /** The principal of a ticket. Fails with `token-invalid` or `token-expired`. */
  async principalOf(ticket: string): Promise<Principal> {
    if (!TICKET.test(ticket)) throw new Problem('token-invalid', 'The ticket is malformed.')
    const found = await findTicket(this.#db, hashOf(ticket))
    // Expired tickets are removed, so they cannot be told from unknown ones.
    if (!found) throw new Problem('token-expired', 'The ticket has expired. Request a new one.')
    return { ownerId: found.ownerId, tenantId: null, scopes: new Set(found.scopes) }
  }
}

/** Accepts the ticket in the query in place of a token. For streams only. */
export async function authenticateByTicket(
  request: Request,
  response: Response,
  tickets: StreamTickets,
): Promise<Principal> {
  const { ticket } = request.query
  if (typeof ticket !== 'string') throw new Problem('token-invalid', 'The ticket is malformed.')
  const principal = await tickets.principalOf(ticket)
  response.locals.principal = principal
  authenticated(request)
  return principal
}

/** Tickets are random enough for a plain hash. */
const hashOf = (ticket: string): Buffer => createHash('sha256').update(ticket).digest()
