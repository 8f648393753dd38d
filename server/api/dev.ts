import express, { Router } from 'express'
import { signToken } from '../auth/dev-token.ts'
import type { Config } from '../config.ts'
import { notFound } from '../errors.ts'
import { readInput } from './query.ts'
import { TokenRequest } from './schemas.ts'

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/i

/**
 * `POST /dev/token`: a token for anyone who asks. Only mounted with `AUTH_DEV_TOKENS=true`, and only
 * answered under a loopback name, so that no web page elsewhere can ask under a name of its own.
 */
export function devApi(config: Config): Router {
  const router = Router()
  router.post('/token', express.json({ limit: '4kb' }), (request, response) => {
    if (!LOOPBACK.test(request.get('Host') ?? '')) throw notFound()
    response
      .set('Cache-Control', 'no-store')
      .json({ token: signToken(config, readInput(TokenRequest, request.body ?? {})) })
  })
  return router
}
