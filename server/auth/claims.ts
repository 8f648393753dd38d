import type { Owner } from '../../ledger/ids.ts'
import { isName } from '../../ledger/ids.ts'
import type { Config } from '../config.ts'

/** Names of claims, and whether a tenant is refused, accepted or required. */
export type ClaimNames = Pick<
  Config,
  'AUTH_TENANT' | 'AUTH_OWNER_CLAIM' | 'AUTH_TENANT_CLAIM' | 'AUTH_SCOPE_CLAIM' | 'AUTH_ATTACH_CLAIM'
>

/** What a token says of its bearer. */
export type Claims = Owner & {
  scopes: readonly string[]
  /** What files may be attached to; undefined where that is not left to tokens. */
  attachable: readonly string[] | undefined
  /** Seconds since the epoch. */
  exp: number
}

/** A claim is missing, malformed or not accepted. The message is for the sender. */
export class ClaimRefused extends Error {}

/** Reads the claims of a token whose signature is right. Fails with `ClaimRefused`. */
export function readClaims(claims: unknown, names: ClaimNames): Claims {
  if (typeof claims !== 'object' || claims === null) throw new ClaimRefused('The token has no claims.')
  const { exp } = claims as { exp?: unknown }
  // The library checks `exp` only where it is present.
  if (typeof exp !== 'number') throw new ClaimRefused('The token has no "exp" claim.')
  const ownerId = nameIn(claims, names.AUTH_OWNER_CLAIM)
  if (ownerId === undefined)
    throw new ClaimRefused(`The token has no valid ${quoted(names.AUTH_OWNER_CLAIM)} claim.`)
  return {
    ownerId,
    tenantId: readTenant(claims, names),
    scopes: readWords(claimAt(claims, names.AUTH_SCOPE_CLAIM), names.AUTH_SCOPE_CLAIM),
    attachable:
      names.AUTH_ATTACH_CLAIM === undefined
        ? undefined
        : readWords(claimAt(claims, names.AUTH_ATTACH_CLAIM), names.AUTH_ATTACH_CLAIM),
    exp,
  }
}

/**
 * The claim of this name; undefined where there is none. Names with dots, such as `realm_access.roles`, also lead into
 * claims that are objects. A claim that has the whole name goes first, as names may be addresses.
 */
function claimAt(claims: object, name: string): unknown {
  if (Object.hasOwn(claims, name)) return (claims as Record<string, unknown>)[name]
  let at: unknown = claims
  for (const part of name.split('.')) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, part)) return undefined
    at = (at as Record<string, unknown>)[part]
  }
  return at
}

/** Claims that are texts (RFC 7519 § 4.1.2). In others, many applications have the number of a row. */
const TEXTS: readonly string[] = ['sub', 'tenant']

/** The name that a claim gives; undefined where it is none. */
function nameIn(claims: object, name: string): string | undefined {
  const claim = claimAt(claims, name)
  if (isName(claim)) return claim
  const isNumber = !TEXTS.includes(name) && Number.isSafeInteger(claim) && Number(claim) >= 0
  return isNumber ? String(claim) : undefined
}

function readTenant(
  claims: object,
  { AUTH_TENANT: tenants, AUTH_TENANT_CLAIM: name }: ClaimNames,
): string | null {
  if (claimAt(claims, name) === undefined) {
    if (tenants !== 'required') return null
    throw new ClaimRefused(`The token has no ${quoted(name)} claim, which AUTH_TENANT=required requires.`)
  }
  // Its issuer relies on tenants being kept apart.
  if (tenants === 'off')
    throw new ClaimRefused(
      `The token has a ${quoted(name)} claim, which this server does not accept. AUTH_TENANT=optional accepts it.`,
    )
  const tenantId = nameIn(claims, name)
  if (tenantId === undefined) throw new ClaimRefused(`The ${quoted(name)} claim of the token is malformed.`)
  return tenantId
}

/** Words: an array of them, or a text in which spaces separate them (RFC 8693 § 4.2). None where the claim is missing. */
function readWords(claim: unknown, name: string): readonly string[] {
  if (claim === undefined) return []
  const words = typeof claim === 'string' ? wordsIn(claim) : claim
  if (Array.isArray(words) && words.every((word) => typeof word === 'string' && /^\S+$/.test(word)))
    return words
  throw new ClaimRefused(
    `The ${quoted(name)} claim of the token is neither a text of words separated by spaces nor an array of words.`,
  )
}

/** The words of a text that spaces separate. */
export const wordsIn = (text: string | undefined): string[] =>
  (text ?? '').split(' ').filter((word) => word !== '')

const quoted = (name: string): string => JSON.stringify(name)
