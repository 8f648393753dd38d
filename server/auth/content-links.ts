import { timingSafeEqual } from 'node:crypto'
import type { MediaId } from '../../ledger/ids.ts'
import {
  LINK_MEMBERS,
  type LinkMembers,
  linkSignature,
  mediaPath,
  signedPath,
} from '../../storage/signed-path.ts'
import { Problem } from '../http/errors.ts'
import { isPublicTarget, type LinkTarget } from './link-targets.ts'

export type { LinkTarget } from './link-targets.ts'

const HOUR_SECONDS = 3600
/** The longest validity of a link that an application has signed: it cannot be revoked by itself. */
const MAX_APPLICATION_SECONDS = 7 * 24 * HOUR_SECONDS
/** By which the clock of an application may be ahead. */
const CLOCK_SECONDS = 60

const DISPOSITIONS = ['inline', 'attachment'] as const
export type Disposition = (typeof DISPOSITIONS)[number]

/** A key with which the application's own backend signs links. */
export type LinkSigningKey = {
  id: string
  /** Whose media items it opens: those of owners in this tenant, or without one. */
  tenantId: string | null
  secret: string
}

/** A valid link, as a request shows it. Whether it is revoked, the ledger knows. */
export type ShownLink = {
  /** Seconds since 1970. */
  expires: number
  /** The id of its row; undefined for a link that has none. */
  id: string | undefined
  /** The application's key that signed it; undefined for this server's own. */
  key: LinkSigningKey | undefined
  disposition: Disposition | undefined
  filename: string | undefined
  /** In place of a link: a request without any, for what may be public. */
  isPublic?: true
}

/** What a request shows that has neither a token nor a link. */
export const NO_LINK: ShownLink = {
  expires: Number.MAX_SAFE_INTEGER,
  id: undefined,
  key: undefined,
  disposition: undefined,
  filename: undefined,
  isPublic: true,
}

type LinkQuery = { readonly [name: string]: unknown }

/**
 * Signed links for `<img>`, `<video>` and downloads, which send no token: valid until their expiry, for one media item and
 * one target. Given only to clients that may see the media item.
 */
export class ContentLinks {
  readonly #key: Buffer
  readonly #applicationKeys: ReadonlyMap<string, LinkSigningKey>

  constructor(key: Buffer, applicationKeys: readonly LinkSigningKey[] = []) {
    this.#key = key
    this.#applicationKeys = new Map(applicationKeys.map((one) => [one.id, one]))
  }

  /**
   * Path and query of a link without a row. It stays the same for an hour, so that caches work, and is valid for one to two
   * hours, plus `moreHours`.
   */
  sign(id: MediaId, target: LinkTarget, now = Date.now(), moreHours = 0): string {
    const expires = (Math.floor(now / 1000 / HOUR_SECONDS) + 2 + moreHours) * HOUR_SECONDS
    return signedPath(this.#key, id, target, { expires })
  }

  /** Path and query of a link that has a row. */
  signFor(id: MediaId, target: LinkTarget, members: LinkMembers & { link: string }): string {
    return signedPath(this.#key, id, target, members)
  }

  /**
   * Path and query of a link to a part of what is being sent, such as the playlists of a playlist. It ends with the link
   * by which was asked: at its expiry, when it is revoked, or when its key is removed. For requests with a token, and by
   * links of an hour or two, it is a new one.
   */
  signPart(id: MediaId, target: LinkTarget, asked: ShownLink | undefined, moreHours = 0): string {
    if (asked?.isPublic) return mediaPath(id, target)
    if (asked?.key)
      return signedPath(asked.key.secret, id, target, { expires: asked.expires, key: asked.key.id })
    if (asked?.id !== undefined)
      return signedPath(this.#key, id, target, { expires: asked.expires, link: asked.id })
    return this.sign(id, target, Date.now(), moreHours)
  }

  /**
   * The link of a query; undefined where it has no signature. Fails with `token-invalid` where that is wrong, with
   * `token-expired`, and with `invalid-request` for a disposition that is none.
   */
  check(id: MediaId, target: string, query: LinkQuery): ShownLink | undefined {
    const { signature } = query
    if (signature === undefined) return undefined
    const members = membersOf(query)
    const signer = members && this.#signerOf(members, target)
    if (!members || !signer || typeof signature !== 'string') throw invalid()
    // Compared as texts: several texts decode to the same bytes, and only one of them is the link.
    const given = Buffer.from(signature)
    const expected = Buffer.from(linkSignature(signer.secret, id, target, members))
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) throw invalid()
    const { expires, link, disposition, filename } = members
    const nowSeconds = Date.now() / 1000
    if (expires <= nowSeconds) throw refusal('token-expired', 'The link has expired.')
    if (signer.key && expires > nowSeconds + MAX_APPLICATION_SECONDS + CLOCK_SECONDS)
      throw refusal('token-invalid', 'The link is valid for longer than seven days.')
    return { expires, id: link, key: signer.key, disposition: dispositionOf(disposition), filename }
  }

  /** Whose signature a link has to have; undefined where it can have none. */
  #signerOf(
    { key: keyId, link }: LinkMembers,
    target: string,
  ): { secret: Buffer | string; key: LinkSigningKey | undefined } | undefined {
    if (keyId === undefined && link === undefined) return { secret: this.#key, key: undefined }
    // The file before it is ready is opened by this server's links of an hour alone.
    if (!isPublicTarget(target)) return undefined
    if (keyId === undefined) return { secret: this.#key, key: undefined }
    const key = this.#applicationKeys.get(keyId)
    // An application has no rows.
    return key && link === undefined ? { secret: key.secret, key } : undefined
  }
}

/** The parameters of a link that need a signature beside them. */
export const SIGNED_ONLY = LINK_MEMBERS.filter((name) => name !== 'expires')

/** A whole number in its only form, so that no other query is the same link. */
const EXPIRES = /^(0|[1-9]\d{0,11})$/

/** Undefined for a query that is that of no link: a parameter is missing, repeated or malformed. */
function membersOf(query: LinkQuery): LinkMembers | undefined {
  const { expires, ...others }: Partial<Record<string, string>> = Object.fromEntries(
    LINK_MEMBERS.flatMap((name) => (query[name] === undefined ? [] : [[name, textOf(query[name])]])),
  )
  if (expires === undefined || !EXPIRES.test(expires)) return undefined
  if (Object.values(others).includes(undefined)) return undefined
  return { ...others, expires: Number(expires) }
}

const textOf = (value: unknown): string | undefined =>
  typeof value === 'string' && value.isWellFormed() ? value : undefined

function dispositionOf(text: string | undefined): Disposition | undefined {
  if (text === undefined) return undefined
  const known = DISPOSITIONS.find((one) => one === text)
  if (!known) throw new Problem('invalid-request', `disposition: takes ${DISPOSITIONS.join(' or ')}`)
  return known
}

/** A refusal of a link. */
const refusal = (code: 'token-invalid' | 'token-expired', detail: string): Problem =>
  new Problem(code, detail, { headers: { 'WWW-Authenticate': 'Bearer' } })

const invalid = (): Problem => refusal('token-invalid', 'The signature of the link is invalid.')

export const linkRevoked = (): Problem => refusal('token-invalid', 'The link has been revoked.')
