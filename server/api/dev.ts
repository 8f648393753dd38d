import express, { type Router } from 'express'
import { isDevCode } from '../auth/dev-code.ts'
import { signToken } from '../auth/dev-token.ts'
import { isDirectRequest } from '../auth/direct-request.ts'
import { scopesIn } from '../auth/verifier.ts'
import type { Config } from '../config.ts'
import { notFound, Problem } from '../http/errors.ts'
import { strictRouter } from '../http/routing.ts'
import { readInput } from './query.ts'
import { TokenRequest } from './schemas.ts'

/**
 * `POST /dev/token`: a token for a client with the code that this start has printed. Only mounted with
 * `AUTH_DEV_TOKENS=true`; without the code, and through a proxy, it answers like a missing route.
 */
export function devApi(config: Config, code: string): Router {
  const router = strictRouter()
  // For every method: an answer to OPTIONS would show that it exists.
  router.use((request, _response, next) => {
    if (!isDirectRequest(request) || !isDevCode(request.get('X-Dev-Code'), code)) throw notFound()
    next()
  })
  router.post('/token', express.json({ limit: '4kb' }), (request, response) => {
    const wanted = readInput(TokenRequest, request.body ?? {})
    for (const scope of scopesIn(wanted.scope)) {
      if (config.AUTH_DEV_SCOPES?.includes(scope)) continue
      throw new Problem(
        'forbidden',
        `Development tokens cannot have the scope ${JSON.stringify(scope)}: AUTH_DEV_SCOPES does not list it.`,
      )
    }
    response.set('Cache-Control', 'no-store').json({ token: signToken(config, wanted) })
  })
  return router
}
