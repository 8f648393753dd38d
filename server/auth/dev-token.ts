import jwt from 'jsonwebtoken'
import type { Config } from '../config.ts'
import type { ClaimNames } from './claims.ts'

export type TokenRequest = {
  /** The owner. */
  sub: string
  tenant?: string | undefined
  scope?: string | undefined
  expiresInSeconds?: number
}

const DAY_SECONDS = 86_400

/** Signs a token for this server with its first secret. Only called where there is one. */
export function signToken(
  config: ClaimNames & Pick<Config, 'auth' | 'AUTH_ISSUER' | 'AUTH_AUDIENCE'>,
  { sub, tenant, scope, expiresInSeconds }: TokenRequest,
): string {
  const { key, algorithms } = config.auth
  const algorithm = algorithms[0]
  const secret = key.kind === 'secret' ? key.secrets[0] : undefined
  if (secret === undefined || !algorithm) throw new Error('tokens can be signed with AUTH_JWT_SECRET only')
  const claims = {
    sub,
    [config.AUTH_OWNER_CLAIM]: sub,
    ...(tenant === undefined ? {} : { [config.AUTH_TENANT_CLAIM]: tenant }),
    ...(scope === undefined ? {} : { [config.AUTH_SCOPE_CLAIM]: scope }),
  }
  return jwt.sign(claims, secret, {
    algorithm,
    expiresIn: expiresInSeconds ?? DAY_SECONDS,
    ...(config.AUTH_ISSUER === undefined ? {} : { issuer: config.AUTH_ISSUER }),
    ...(config.AUTH_AUDIENCE === undefined ? {} : { audience: config.AUTH_AUDIENCE }),
  })
}
