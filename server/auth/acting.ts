import type { Request } from 'express'
import type { Ledger } from '../../ledger/database.ts'
import { isName, type OwnerId, ownerIn, ownerOf } from '../../ledger/ids.ts'
import { ownerOfSubject, type Subject } from '../../ledger/owner-of.ts'
import { Problem } from '../http/errors.ts'
import { isAdmin, isService, type Principal } from './principal.ts'

/** The parameters of a query that name the owner for whom a request is. */
export const OWNER_PARAMETERS = ['owner', 'tenant'] as const

/**
 * The caller, for the owner whom the request names in its query. An owner may name nobody else. A backend, whose token
 * has the scope `service` or `admin`, acts for any owner of its tenant; one without a tenant for owners without one, and
 * with the scope `admin` for those of every tenant. Where a backend names nobody and asks for something by its id, it
 * acts for the owner of that. A path may name the owner instead of the query. Fails with `forbidden` and `invalid-request`.
 */
export async function actingFor(
  db: Ledger,
  who: Principal,
  request: Pick<Request, 'query'>,
  of: { subject: Subject | 'owner'; id: string } | undefined,
): Promise<Principal> {
  const { owner, tenant } = request.query
  if (of?.subject === 'owner') {
    if (owner !== undefined && owner !== of.id)
      throw new Problem('invalid-request', 'owner: differs from that of the path')
    return actAs(who, of.id, tenant)
  }
  if (owner !== undefined || tenant !== undefined) return actAs(who, owner, tenant)
  if (!of || !isService(who)) return who
  const { subject, id } = of
  const found = await ownerOfSubject(db, who.ownerId, { subject, id })
  // Of others it is told what is told of things that do not exist.
  return found !== undefined && reaches(who, found) ? { ...who, ownerId: found, callerId: who.ownerId } : who
}

/** Whether a caller acts for this owner. */
function reaches(who: Principal, owner: OwnerId): boolean {
  if (isAdmin(who) && who.tenantId === null) return true
  return isService(who) && ownerOf(owner).tenantId === who.tenantId
}

/** The caller, for the owner of these names. Without a tenant, that of the caller is meant. Fails like `actingFor`. */
export function actAs(who: Principal, owner: unknown, tenant: unknown): Principal {
  if (!isName(owner)) throw new Problem('invalid-request', 'owner: takes the name of one owner')
  if (tenant !== undefined && !isName(tenant))
    throw new Problem('invalid-request', 'tenant: takes the name of one tenant')
  const ownerId = ownerIn(tenant ?? who.tenantId, owner)
  if (ownerId === who.ownerId || reaches(who, ownerId))
    return { ...who, ownerId, callerId: who.ownerId, isNamed: true }
  throw new Problem(
    'forbidden',
    isService(who)
      ? 'The token does not act for owners of this tenant.'
      : 'Only a token with the scope "service" or "admin" acts for other owners.',
  )
}
