import type { OwnerId } from '../../ledger/ids.ts'
import type { BearerTicket } from '../../ledger/upload-tickets.ts'

/** The authenticated caller, and the owner for whom the request is. */
export type Principal = {
  /** That of the token, or the one that a backend acts for: `acting.ts`. */
  ownerId: OwnerId
  /** Of the token; null where it has none. */
  tenantId: string | null
  scopes: ReadonlySet<string>
  /** What files may be attached to, such as `course:7` or `course:*`; undefined for anything. */
  attachable?: readonly string[] | undefined
  /** The upload ticket that takes the place of a token: only for uploads. */
  ticket?: BearerTicket
  /** The owner of the token, where the request is for another one. */
  callerId?: OwnerId
  /** Whether the request names the owner. */
  isNamed?: boolean
}

/** May act for any owner of its tenant. */
export const isService = ({ scopes }: Principal): boolean => scopes.has('service') || scopes.has('admin')

/** May see and do everything of its tenant; without a tenant, of all. */
export const isAdmin = ({ scopes }: Principal): boolean => scopes.has('admin')
