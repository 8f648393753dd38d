import type { Request, Response } from 'express'
import { authenticated } from '../http/deadlines.ts'
import { Problem } from '../http/errors.ts'
import type { Principal } from './principal.ts'
import type { Verify } from './verifier.ts'

/** Returns the principal of a request, or fails with the problem of its token: `token`, or that of its header. */
export type Authenticate = (request: Request, response: Response, token?: string) => Promise<Principal>

/** Requires a bearer token and stores its principal for `principalOf`. */
export function authenticate(verify: Verify): Authenticate {
  return async function authenticateRequest(request, response, token) {
    const principal = await verify(token ?? bearerToken(request))
    response.locals.principal = principal
    authenticated(request)
    return principal
  }
}

/** The principal of this request. Only behind `authenticate`. */
export function principalOf(response: Response): Principal {
  const principal: Principal | undefined = response.locals.principal
  if (!principal) throw new Error('route is not behind authenticate')
  return principal
}

export const tokenMissing = (): Problem =>
  new Problem('token-missing', 'Send the header "Authorization: Bearer <token>".', {
    headers: { 'WWW-Authenticate': 'Bearer' },
  })

/** The token of a request. Fails with `token-missing` or, for another scheme, `token-invalid`. */
function bearerToken(request: Request): string {
  const header = request.headers.authorization
  if (header === undefined) {
    throw tokenMissing()
  }
  // Of several headers a proxy may have checked another one.
  const isSingle = timesGiven(request, 'authorization') === 1
  const token = isSingle ? /^Bearer +([A-Za-z0-9._~+/=-]+) *$/i.exec(header)?.[1] : undefined
  if (token === undefined) {
    throw new Problem(
      'token-invalid',
      'The request must have exactly one Authorization header with a bearer token.',
      { headers: { 'WWW-Authenticate': 'Bearer error="invalid_request"' } },
    )
  }
  return token
}

function timesGiven({ rawHeaders }: Request, name: string): number {
  let times = 0
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const given = rawHeaders[at]
    if (given?.length === name.length && given.toLowerCase() === name) times += 1
  }
  return times
}
