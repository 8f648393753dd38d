import { createHmac, randomBytes } from 'node:crypto'
import type { Ledger } from '../ledger/database.ts'
import { type MediaId, type OwnerId, ownerOf, type UploadId } from '../ledger/ids.ts'
import { sharedSecret } from '../ledger/secrets.ts'

/** What a link says in its query, beside its signature, which covers all of it. */
export type LinkMembers = {
  /** Seconds since 1970. */
  expires: number
  /** The id of the link, where it can be revoked. */
  link?: string | undefined
  /** The id of the key, where an application has signed the link. */
  key?: string | undefined
  disposition?: string | undefined
  /** The name under which the file is saved. */
  filename?: string | undefined
}

/** In this order in a link. */
export const LINK_MEMBERS = [
  'expires',
  'link',
  'key',
  'disposition',
  'filename',
] as const satisfies readonly (keyof LinkMembers)[]

/** The key of all links to media items, the same on every node. */
export async function linkKey(db: Ledger): Promise<Buffer> {
  return await sharedSecret(db, 'content-links', () => randomBytes(32))
}

/** The signature of a link to a target below a media item. */
export const linkSignature = (
  key: Buffer | string,
  id: MediaId,
  target: string,
  members: LinkMembers,
): string =>
  createHmac('sha256', key)
    .update(linkText(id, target, members))
    .digest('base64url')

/**
 * The text that is signed: the link itself, without its signature. Each text is that of one link only. A link that has
 * nothing but an expiry is signed by the text of earlier releases, so that links from before an upgrade stay valid; such
 * a text begins with an id, and all others with a slash.
 */
export function linkText(id: MediaId, target: string, members: LinkMembers): string {
  const isPlain = LINK_MEMBERS.every((name) => name === 'expires' || members[name] === undefined)
  return isPlain ? `${id}\n${target}\n${members.expires}` : unsignedPath(id, target, members)
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

/** Path and query of a link to a target below a media item. */
export const signedPath = (key: Buffer | string, id: MediaId, target: string, members: LinkMembers): string =>
  `${unsignedPath(id, target, members)}&signature=${linkSignature(key, id, target, members)}`

function unsignedPath(id: MediaId, target: string, members: LinkMembers): string {
  const query = LINK_MEMBERS.flatMap((name) => {
    const value = members[name]
    return value === undefined ? [] : [`${name}=${percentEncoded(String(value))}`]
  })
  return `${mediaPath(id, target.split('/').map(percentEncoded).join('/'))}?${query.join('&')}`
}

/** By RFC 3986 § 2.3, all but unreserved characters; `encodeURIComponent` leaves some others. Throws for half a surrogate pair. */
const percentEncoded = (text: string): string =>
  encodeURIComponent(text).replaceAll(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )
