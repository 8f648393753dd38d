import type { Request } from 'express'
import { LINK_MEMBERS } from '../../storage/signed-path.ts'
import { OWNER_PARAMETERS } from '../auth/acting.ts'
import { Problem } from '../http/errors.ts'
import type { Access, Route } from './route.ts'

/** Parameters in which each kind of access is shown, and the owner of whom is asked; the checks of `access.ts` read them. */
export const ACCESS_PARAMETERS: Readonly<Partial<Record<Access, readonly string[]>>> = {
  token: OWNER_PARAMETERS,
  'token-or-upload-ticket': ['ticket', ...OWNER_PARAMETERS],
  service: OWNER_PARAMETERS,
  'token-or-ticket': ['ticket', ...OWNER_PARAMETERS],
  'token-or-link': [...LINK_MEMBERS, 'signature', ...OWNER_PARAMETERS],
  link: ['expires', 'signature'],
  'service-or-signature': OWNER_PARAMETERS,
}

/** Names that are longer are cut in messages. */
const MAX_SHOWN = 50

/**
 * The check that a query has only parameters that its route declares; fails with `invalid-request`, naming the first
 * other one. A misspelt filter would otherwise answer with what nobody asked for. It holds below `/api/`: addresses of
 * uploads are kept by clients and rewritten by gateways, and probes of balancers carry whatever they are set to.
 */
export function queryCheck({
  path,
  access,
  query,
  moreParameters,
}: Pick<Route<never>, 'path' | 'access' | 'query' | 'moreParameters'>) {
  const known = new Set([...Object.keys(query?.shape ?? {}), ...(ACCESS_PARAMETERS[access] ?? [])])
  const isClosed = path.startsWith('/api/')
  return function checkQuery(request: Pick<Request, 'query'>): void {
    if (!isClosed) return
    const unknown = Object.keys(request.query).find((name) => !known.has(name) && !moreParameters?.test(name))
    if (unknown === undefined) return
    const shown = unknown.length > MAX_SHOWN ? `${unknown.slice(0, MAX_SHOWN)}…` : unknown
    throw new Problem(
      'invalid-request',
      `${JSON.stringify(shown)} is no query parameter of this resource, which has ${known.size === 0 ? 'none' : [...known].join(', ')}.`,
    )
  }
}
