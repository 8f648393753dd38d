import { createPublicKey, createSecretKey, type KeyObject } from 'node:crypto'
import jwt from 'jsonwebtoken'
import type { OwnerId } from '../../ledger/ids.ts'
import type { AuthKey, Config } from '../config.ts'
import { Problem } from '../errors.ts'
import { JwksKeys } from './jwks-keys.ts'

/** Who is asking, as the token says. */
export type Principal = {
  /** `sub` */
  ownerId: OwnerId
  /** `tenant`, where the issuer sets it. */
  tenantId: string | null
  /** `scope`, split at spaces. */
  scopes: ReadonlySet<string>
}

export type Verify = (token: string) => Promise<Principal>

type VerifierOptions = Pick<Config, 'auth' | 'AUTH_ISSUER' | 'AUTH_AUDIENCE' | 'AUTH_CLOCK_TOLERANCE'>

const MAX_ID_CHARACTERS = 255

/**
 * Makes the function that turns a bearer token into a principal. It fails with `token-expired` or
 * `token-invalid` for a bad token, and with `unavailable` when the issuer's keys cannot be fetched.
 */
export function createVerifier(options: VerifierOptions): Verify {
  const keyFor = createKeySource(options.auth.key)
  const verification: jwt.VerifyOptions & { complete: false } = {
    algorithms: [...options.auth.algorithms],
    clockTolerance: options.AUTH_CLOCK_TOLERANCE / 1000,
    complete: false,
    ...(options.AUTH_ISSUER === undefined ? {} : { issuer: options.AUTH_ISSUER }),
    ...(options.AUTH_AUDIENCE === undefined ? {} : { audience: options.AUTH_AUDIENCE }),
  }
  return async function verify(token) {
    const header = jwt.decode(token, { complete: true })?.header
    if (!header || !options.auth.algorithms.some((name) => name === header.alg)) {
      throw invalid('The token is not signed in a way that is accepted here.')
    }
    const key = await keyFor(header.kid)
    let claims: string | jwt.JwtPayload
    try {
      claims = jwt.verify(token, key, verification)
    } catch (error) {
      if (error instanceof jwt.TokenExpiredError) {
        throw tokenProblem('token-expired', 'The token has expired.', error)
      }
      throw invalid('The token was not issued for this server.', error)
    }
    return principalOf(claims)
  }
}

function principalOf(claims: string | jwt.JwtPayload): Principal {
  if (typeof claims === 'string') throw invalid('The token has no claims.')
  // The library checks `exp` only where it is present.
  if (typeof claims.exp !== 'number') throw invalid('The token has no expiry.')
  const { sub, tenant, scope } = claims
  if (!isId(sub)) throw invalid('The token names no subject.')
  if (tenant !== undefined && !isId(tenant)) throw invalid('The token names a malformed tenant.')
  return {
    ownerId: sub as OwnerId,
    tenantId: tenant ?? null,
    scopes: new Set(typeof scope === 'string' ? scopesIn(scope) : []),
  }
}

/** The scopes of a `scope` claim, which has them separated by blanks (RFC 8693 § 4.2). */
export function scopesIn(claim: string | undefined): string[] {
  return (claim ?? '').split(' ').filter((scope) => scope !== '')
}

/** Anything printable that Postgres keeps as it is: half a surrogate pair would become the same as any other. */
function isId(value: unknown): value is string {
  return (
    typeof value === 'string' &&
    value.length > 0 &&
    value.length <= MAX_ID_CHARACTERS &&
    value.isWellFormed() &&
    !/\p{Cc}/u.test(value)
  )
}

function createKeySource(key: AuthKey): (kid: string | undefined) => Promise<string | KeyObject> {
  switch (key.kind) {
    case 'secret': {
      // Given as text it would be tried as a public key first, with every token.
      const secret = createSecretKey(Buffer.from(key.secret))
      return async () => secret
    }
    case 'public-key': {
      const publicKey = createPublicKey(key.pem)
      return async () => publicKey
    }
    case 'jwks': {
      const keys = new JwksKeys(key.url)
      return async (kid) => {
        const found = await keys.find(kid)
        if (!found) throw invalid('The token is signed by an unknown key.')
        return found
      }
    }
  }
}

function tokenProblem(code: 'token-expired' | 'token-invalid', detail: string, cause?: unknown): Problem {
  return new Problem(code, detail, { headers: { 'WWW-Authenticate': 'Bearer error="invalid_token"' }, cause })
}

const invalid = (detail: string, cause?: unknown): Problem => tokenProblem('token-invalid', detail, cause)
