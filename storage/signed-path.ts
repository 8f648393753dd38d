import { createHmac, randomBytes } from 'node:crypto'
import type { Ledger } from '../ledger/database.ts'
import { type MediaId, type OwnerId, ownerOf, type UploadId } from '../ledger/ids.ts'
import { sharedSecret } from '../ledger/secrets.ts'

/** The key of all links to media items, the same on every node. */
export async function linkKey(db: Ledger): Promise<Buffer> {
  return await sharedSecret(db, 'content-links', () => randomBytes(32))
}

/** The signature of a link: covers a media item, a target below it, and its expiry (seconds since 1970, as text). */
export function linkSignature(key: Buffer, id: MediaId, target: string, expires: string): string {
  return createHmac('sha256', key).update(`${id}\n${target}\n${expires}`).digest('base64url')
}

/** The server's path of a media item, or of a target below it. It lacks the address of the server. */
export const mediaPath = (id: MediaId, target?: string): string =>
  target === undefined ? `/api/v1/media/${id}` : `/api/v1/media/${id}/${target}`

/** The server's path of a direct upload. */
export const directUploadPath = (id: UploadId): string => `/api/v1/direct-uploads/${id}`

/** The server's path of the report of an owner's erasure, with the tenant, which the next caller need not be of. */
export function erasurePath(owner: OwnerId): string {
  const { ownerId, tenantId } = ownerOf(owner)
  const path = `/api/v1/owners/${encodeURIComponent(ownerId)}/erasure`
  return tenantId === null ? path : `${path}?tenant=${encodeURIComponent(tenantId)}`
}

/** Path and query of a link to a target below a media item, valid until `expires` (seconds since 1970). */
export function signedPath(key: Buffer, id: MediaId, target: string, expires: number): string {
  const signature = linkSignature(key, id, target, String(expires))
  return `${mediaPath(id, target)}?expires=${expires}&signature=${signature}`
}
