import { ROUTES } from '../../server/api/table.ts'
import { MEDIA_ID, type Param, UPLOAD_ID } from '../../server/routes/param.ts'
import type { Access } from '../../server/routes/route.ts'
import type { Landfall } from './landfall.ts'
import type { ProblemJson } from './raw-http.ts'

/** A request of a route. */
export type Route = {
  method: string
  path: string
  /** The path as OpenAPI writes it; undefined for one that does not exist. */
  template?: string
  headers?: Record<string, string>
  body?: string
}

type Declared = (typeof ROUTES)[number]

/** By these kinds of access, the token of a stranger finds nothing. */
const OWNED: readonly Access[] = [
  'token',
  'token-or-upload-ticket',
  'token-or-ticket',
  'token-or-link',
  'link',
]

/**
 * A good request of a route, as far as it can be without a token. `id`, and `others` by their names: in place of ones
 * that do not exist.
 */
export function requestOf(
  { method, path, params = {}, headers = [], body }: Declared,
  id?: string,
  others: Readonly<Record<string, string>> = {},
): Route {
  const withId = path.replaceAll(
    /:(\w+)/g,
    (_, name: string) => (name === 'id' ? id : others[name]) ?? params[name]?.sample() ?? '',
  )
  const type = body?.types[0]
  return {
    method: method.toUpperCase(),
    path: withId,
    template: path.replaceAll(/:(\w+)/g, '{$1}'),
    headers: {
      ...Object.fromEntries(headers.flatMap(({ name, example }) => (example ? [[name, example]] : []))),
      ...(type === undefined || path === '/files' ? {} : { 'Content-Type': type }),
    },
    ...(type === undefined || path === '/files'
      ? {}
      : { body: type === 'application/json' ? '{}' : 'bytes' }),
  }
}

/** Requests of all routes with this access. */
export const requestsWith = (...access: Access[]): Route[] =>
  ROUTES.filter((route) => access.includes(route.access)).map((route) => requestOf(route))

/** Every route that asks for a token, for tests of what holds on all of them; also one that does not exist. */
export const guardedRoutes = (): Route[] => [
  ...ROUTES.filter(({ access }) => access !== 'public' && access !== 'dev-code').map((one) => requestOf(one)),
  { method: 'GET', path: '/api/v1/no-such-route' },
]

/** Routes that name an upload. */
export const uploadRoutes = (id?: string): Route[] => ownedBy(UPLOAD_ID, id)

/** Routes that name a media item. */
export const mediaRoutes = (id?: string): Route[] => ownedBy(MEDIA_ID, id)

const ownedBy = (param: Param, id: string | undefined): Route[] =>
  ROUTES.filter(({ params, access }) => params?.id === param && OWNED.includes(access)).map((route) =>
    requestOf(route, id),
  )

export type RouteAnswer = {
  status: number
  challenge: string | null
  headers: Headers
  /** Of the problem document; undefined where a HEAD has no body. */
  problem: ProblemJson | undefined
}

/** Asks a route with this `Authorization` header, or none; what it answers has to be a problem. */
export async function ask(
  landfall: Pick<Landfall, 'url'>,
  route: Route,
  authorization: string | undefined,
): Promise<RouteAnswer> {
  const response = await fetch(new URL(route.path, landfall.url), {
    method: route.method,
    headers: { ...route.headers, ...(authorization === undefined ? {} : { Authorization: authorization }) },
    body: route.body ?? null,
  })
  const type = response.headers.get('Content-Type')
  if (type !== 'application/problem+json') {
    await response.body?.cancel()
    throw new Error(`${route.method} ${route.path} answered ${response.status} with ${type}, not a problem`)
  }
  const text = await response.text()
  return {
    status: response.status,
    challenge: response.headers.get('WWW-Authenticate'),
    headers: response.headers,
    problem: text === '' ? undefined : (JSON.parse(text) as ProblemJson),
  }
}
