import type { Landfall } from './landfall.ts'

/** A server as the owners of a tenant see it: their tokens name the tenant, and have these scopes. */
export function inTenant<Server extends Landfall>(
  landfall: Server,
  tenant: string | null,
  scope?: string,
): Server {
  const claims = { ...(tenant === null ? {} : { tenant }), ...(scope === undefined ? {} : { scope }) }
  const token: Landfall['token'] = (sub, more) => landfall.token(sub, { ...claims, ...more })
  const as: Landfall['as'] = (sub) => (path, init) => {
    const headers = new Headers(init?.headers)
    headers.set('Authorization', `Bearer ${token(sub)}`)
    return fetch(landfall.url + path, { ...init, headers })
  }
  return { ...landfall, token, as }
}
