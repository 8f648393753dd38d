import { createHash, randomBytes } from 'node:crypto'
import type { Ledger } from '../../ledger/database.ts'
import { describeUpload } from '../../ledger/description.ts'
import type { UploadId } from '../../ledger/ids.ts'
import { ownerOf } from '../../ledger/ids.ts'
import { findBearerTicket, isOfTicket } from '../../ledger/upload-tickets.ts'
import { notFound, Problem } from '../http/errors.ts'
import type { Principal } from './principal.ts'
import { tokenProblem, type Verify } from './verifier.ts'

// An upload ticket is a bearer token that lets its client begin uploads for an owner, and send their bytes.

/** No JWT begins like this: it would be `{"` in base64url. */
const PREFIX = 'lfu_'
const TICKET = /^lfu_[A-Za-z0-9_-]{43}$/

export const isTicketToken = (token: unknown): token is string =>
  typeof token === 'string' && TICKET.test(token)

export const newTicketToken = (): string => PREFIX + randomBytes(32).toString('base64url')

/** Random enough for a plain hash. */
export const ticketHash = (token: string): Buffer => createHash('sha256').update(token).digest()

/** Accepts upload tickets where tokens are accepted, and leaves all others to `verify`. */
export function withTickets(verify: Verify, db: Ledger): Verify {
  return async function verifyTokenOrTicket(token) {
    if (!token.startsWith(PREFIX)) return await verify(token)
    const ticket = TICKET.test(token) ? await findBearerTicket(db, ticketHash(token)) : undefined
    if (!ticket) throw tokenProblem('token-invalid', 'There is no such upload ticket.')
    if (ticket.isRevoked) throw tokenProblem('token-invalid', 'The upload ticket has been revoked.')
    const { ownerId, metadata } = ticket
    // What the ticket itself attaches them to; its client chooses nothing.
    const { attachedTo } = describeUpload(metadata)
    const attachable = attachedTo ? [`${attachedTo.type}:${attachedTo.id}`] : []
    return { ownerId, tenantId: ownerOf(ownerId).tenantId, scopes: new Set(), attachable, ticket }
  }
}

/**
 * What an upload ticket permits, beside what its owner may do: to begin an upload in time, and requests for the uploads
 * that were begun with it. `uploadId`: undefined for a request that begins one.
 */
export async function checkTicket(
  db: Ledger,
  { ticket }: Pick<Principal, 'ticket'>,
  { isUploading, uploadId }: { isUploading: boolean; uploadId: UploadId | undefined },
): Promise<void> {
  if (!ticket) return
  if (!isUploading) throw new Problem('forbidden', 'An upload ticket is for uploads, and for nothing else.')
  if (uploadId === undefined) {
    if (ticket.isOver) throw tokenProblem('token-expired', 'The upload ticket has expired.')
  } else if (!(await isOfTicket(db, ticket, uploadId))) throw notFound()
}
