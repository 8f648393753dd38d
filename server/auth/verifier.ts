import { createPublicKey, createSecretKey } from 'node:crypto'
import jwt from 'jsonwebtoken'
import { ownerIn } from '../../ledger/ids.ts'
import type { AuthKey, Config } from '../config.ts'
import { Problem } from '../http/errors.ts'
import { type ClaimNames, ClaimRefused, readClaims } from './claims.ts'
import { JwksKeys, type KeyWarning } from './jwks-keys.ts'
import { isService, type Principal } from './principal.ts'
import { readTokenHeader } from './token-header.ts'
import { type VerificationKey, VerifiedTokens } from './verified-tokens.ts'

export type Verify = (token: string) => Promise<Principal>

type VerifierOptions = ClaimNames &
  Pick<Config, 'auth' | 'AUTH_ISSUER' | 'AUTH_AUDIENCE' | 'AUTH_CLOCK_TOLERANCE'>

/**
 * Makes the function that turns a bearer token into a principal. It fails with `token-expired` or `token-invalid`, and
 * with `unavailable` when the issuer's keys cannot be fetched. `warn` is called for keys of an issuer that are not
 * used.
 */
export function createVerifier(options: VerifierOptions, warn?: KeyWarning): Verify {
  const keysFor = createKeySource(options.auth.key, warn)
  const verification: jwt.VerifyOptions & { complete: false } = {
    algorithms: [...options.auth.algorithms],
    clockTolerance: options.AUTH_CLOCK_TOLERANCE / 1000,
    complete: false,
    ...(options.AUTH_ISSUER === undefined ? {} : { issuer: options.AUTH_ISSUER }),
    ...(options.AUTH_AUDIENCE === undefined ? {} : { audience: options.AUTH_AUDIENCE }),
  }
  const verified = new VerifiedTokens(keysFor)
  return async function verify(token) {
    const known = await verified.find(token)
    if (known) return known
    const header = readTokenHeader(token)
    if (!header || !options.auth.algorithms.some((name) => name === header.alg)) {
      throw invalid('The token is not signed with an accepted algorithm.')
    }
    const { claims, key } = claimsOf(token, await keysFor(header.kid), verification)
    const { exp, ...principal } = principalOf(claims, options)
    const endsAt = exp + options.AUTH_CLOCK_TOLERANCE / 1000
    verified.add(token, { principal, endsAt, kid: header.kid, key })
    return principal
  }
}

/** The claims of a token that one of the keys has signed. Each is tried, as secrets have no ids: there are few. */
function claimsOf(
  token: string,
  keys: readonly VerificationKey[],
  verification: jwt.VerifyOptions & { complete: false },
): { claims: unknown; key: VerificationKey } {
  let failure: unknown
  for (const key of keys) {
    try {
      return { claims: jwt.verify(token, key, verification), key }
    } catch (error) {
      // The library checks the claims after the signature: this was the key.
      const problem = claimProblem(error)
      if (problem) throw problem
      failure = error
    }
  }
  throw invalid('The signature or the claims of the token are not valid for this server.', failure)
}

/** Claims that the library refuses, by its messages, and what their sender is told. */
const CLAIMS: readonly (readonly [message: RegExp, detail: string])[] = [
  [/^invalid exp value$/, 'The "exp" claim of the token is not a number of seconds.'],
  [/^invalid nbf value$/, 'The "nbf" claim of the token is not a number of seconds.'],
  [/^jwt issuer invalid/, 'The "iss" claim of the token is not the issuer that this server expects.'],
  [/^jwt audience invalid/, 'The "aud" claim of the token does not name this server.'],
]

/** The problem of a token with a right signature; undefined where another key may have signed it. */
function claimProblem(error: unknown): Problem | undefined {
  if (error instanceof jwt.TokenExpiredError)
    return tokenProblem('token-expired', 'The token has expired.', error)
  if (error instanceof jwt.NotBeforeError) {
    // A clock that is off is the usual cause, and cannot be seen from outside.
    const now = new Date().toISOString()
    return invalid(
      `The token is not valid yet: its "nbf" is ${timeOf(error.date)}, and it is ${now} here.`,
      error,
    )
  }
  if (!(error instanceof jwt.JsonWebTokenError)) return undefined
  const detail = CLAIMS.find(([message]) => message.test(error.message))?.[1]
  return detail === undefined ? undefined : invalid(detail, error)
}

/** A claim can be any number: one in milliseconds is no date. */
function timeOf(date: Date): string {
  return Number.isNaN(date.getTime()) ? 'no time' : date.toISOString()
}

function principalOf(claims: unknown, names: ClaimNames): Principal & { exp: number } {
  try {
    const { ownerId, tenantId, scopes, attachable, exp } = readClaims(claims, names)
    const principal = { ownerId: ownerIn(tenantId, ownerId), tenantId, scopes: new Set(scopes) }
    // An application's backend knows what there is to attach files to.
    return { ...principal, attachable: isService(principal) ? undefined : attachable, exp }
  } catch (error) {
    throw error instanceof ClaimRefused ? invalid(error.message) : error
  }
}

type KeySource = (kid: string | undefined) => Promise<readonly VerificationKey[]>

function createKeySource(key: AuthKey, warn: KeyWarning | undefined): KeySource {
  switch (key.kind) {
    case 'secret': {
      // As text it would be tried as a public key first, with every token.
      const secrets = key.secrets.map((secret) => createSecretKey(Buffer.from(secret)))
      return async () => secrets
    }
    case 'public-key': {
      const publicKeys = key.pems.map((pem) => createPublicKey(pem))
      return async () => publicKeys
    }
    case 'jwks': {
      const keys = new JwksKeys(key.url, warn)
      return async (kid) => {
        const found = await keys.find(kid)
        if (!found) throw invalid('The token is signed by an unknown key.')
        return [found]
      }
    }
  }
}

/** 401 for a token. `detail` is for its sender. */
export function tokenProblem(
  code: 'token-expired' | 'token-invalid',
  detail: string,
  cause?: unknown,
): Problem {
  return new Problem(code, detail, { headers: { 'WWW-Authenticate': 'Bearer error="invalid_token"' }, cause })
}

const invalid = (detail: string, cause?: unknown): Problem => tokenProblem('token-invalid', detail, cause)
