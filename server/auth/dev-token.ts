import jwt from 'jsonwebtoken'
import type { Config } from '../config.ts'

export type TokenRequest = { sub: string; scope?: string; expiresInSeconds?: number }

const DAY_SECONDS = 86_400

/** Signs a token for this server with its first secret. Only called where there is one. */
export function signToken(
  config: Pick<Config, 'auth' | 'AUTH_ISSUER' | 'AUTH_AUDIENCE'>,
  request: TokenRequest,
): string {
  const { key, algorithms } = config.auth
  const algorithm = algorithms[0]
  const secret = key.kind === 'secret' ? key.secrets[0] : undefined
  if (secret === undefined || !algorithm) throw new Error('tokens can be signed with AUTH_JWT_SECRET only')
  return jwt.sign(request.scope === undefined ? {} : { scope: request.scope }, secret, {
    algorithm,
    subject: request.sub,
    expiresIn: request.expiresInSeconds ?? DAY_SECONDS,
    ...(config.AUTH_ISSUER === undefined ? {} : { issuer: config.AUTH_ISSUER }),
    ...(config.AUTH_AUDIENCE === undefined ? {} : { audience: config.AUTH_AUDIENCE }),
  })
}
