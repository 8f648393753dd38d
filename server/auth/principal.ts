import type { OwnerId } from '../../ledger/ids.ts'

/** The authenticated caller. */
export type Principal = {
  /** `sub` */
  ownerId: OwnerId
  /** `tenant`, where the issuer sets it and `AUTH_TENANT` accepts it. Used only in prefixes of storage keys. */
  tenantId: string | null
  /** `scope`, split at spaces. */
  scopes: ReadonlySet<string>
}
