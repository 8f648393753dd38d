import { randomBytes } from 'node:crypto'

declare const brand: unique symbol

/** 128 random bits: 22 characters of base64url. Also the last segment of the storage key. */
export type UploadId = string & { readonly [brand]: 'UploadId' }
export type MediaId = string & { readonly [brand]: 'MediaId' }
/**
 * An owner within a tenant, in one text that only `ownerIn` makes: every key, index, lock, counter and query by owner
 * keeps tenants apart by itself. Every ledger function for requests takes the owner whose rows it may touch.
 */
export type OwnerId = string & { readonly [brand]: 'OwnerId' }

/** An owner as it is shown: as tokens name it. */
export type Owner = { ownerId: string; tenantId: string | null }

const ID = /^[A-Za-z0-9_-]{22}$/

const random = (): string => randomBytes(16).toString('base64url')

export const newUploadId = (): UploadId => random() as UploadId
export const newMediaId = (): MediaId => random() as MediaId
export const newTicketId = (): string => `tkt_${random()}`
export const newErasureId = (): string => `era_${random()}`
export const newLinkId = (): string => `lnk_${random()}`

const MAX_NAME_CHARACTERS = 255
/** Between tenant and owner. No name has a control character. */
const SEPARATOR = '\u001f'

/** Whether `name` may be that of an owner or tenant: printable text that Postgres stores unchanged. */
export const isName = (name: unknown): name is string =>
  typeof name === 'string' &&
  name.length > 0 &&
  name.length <= MAX_NAME_CHARACTERS &&
  // Lone surrogates would all become the same.
  name.isWellFormed() &&
  !/\p{Cc}/u.test(name)

/** The owner of this name in a tenant; `null` is no tenant, which is another one than every tenant. */
export function ownerIn(tenantId: string | null, ownerId: string): OwnerId {
  if (!isName(ownerId) || (tenantId !== null && !isName(tenantId)))
    throw new Error('an owner or tenant has no valid name')
  return (tenantId === null ? ownerId : `${tenantId}${SEPARATOR}${ownerId}`) as OwnerId
}

/** The names in the id of an owner. */
export function ownerOf(id: OwnerId): Owner {
  const at = id.indexOf(SEPARATOR)
  if (at < 0) return { ownerId: id, tenantId: null }
  return { ownerId: id.slice(at + 1), tenantId: id.slice(0, at) }
}

/** The id in `text`; undefined when it does not look like one of ours. */
export const parseUploadId = (text: string): UploadId | undefined =>
  ID.test(text) ? (text as UploadId) : undefined
export const parseMediaId = (text: string): MediaId | undefined =>
  ID.test(text) ? (text as MediaId) : undefined
