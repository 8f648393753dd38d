import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { newMediaId, parseMediaId } from '../ledger/ids.ts'
import { ROUTES } from '../server/api/table.ts'
import { ContentLinks, type LinkTarget } from '../server/auth/content-links.ts'
import { linkKey } from '../storage/signed-path.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { type ProblemJson, problemOf, rawRequest } from './support/raw-http.ts'
import { requestOf } from './support/routes.ts'

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND']

/** Every path of the table with a route of it, and the methods that it has. */
const PATHS = [...Map.groupBy(ROUTES, ({ path }) => path)].map(([path, [route, ...others]]) => {
  const all = [route, ...others].filter((one) => one !== undefined)
  const methods = new Set(all.map((one) => one.method.toUpperCase()))
  // A GET that begins something is served by no HEAD.
  if (all.some((one) => one.method === 'get' && !one.isAct)) methods.add('HEAD')
  return { path, route, methods: methods.add('OPTIONS') }
})

let landfall: Landfall
let links: ContentLinks
beforeAll(async () => {
  landfall = await startLandfall({ withoutWorker: true, page: true })
  links = new ContentLinks(await linkKey(landfall.db))
})
afterAll(() => landfall?.close())

const credentials = (path: string): Record<string, string> => ({
  Authorization: `Bearer ${landfall.token('alice', { scope: 'service admin' })}`,
  ...(path === '/dev/token' && { 'X-Dev-Code': landfall.devCode ?? '' }),
})

describe.each(PATHS)('$path', ({ path, route, methods }) => {
  if (!route) throw new Error(`${path} has no route`)

  it('answers every method that it does not have with 405, and says which it has', async () => {
    const at = requestOf(route).path
    for (const method of METHODS.filter((one) => !methods.has(one))) {
      const answer = await rawRequest(landfall, { method, path: at, headers: credentials(path) })
      expect([method, answer.status]).toEqual([method, 405])
      const allow = String(answer.headers.allow).split(', ')
      expect(new Set(allow)).toEqual(methods)
      if (method !== 'HEAD') expect(problemOf(answer)).toMatchObject({ code: 'method-not-allowed' })
    }
  })

  it('answers OPTIONS with its methods', async () => {
    // A stranger is not told that development tokens can be had.
    const headers = path === '/dev/token' ? credentials(path) : {}
    const answer = await rawRequest(landfall, { method: 'OPTIONS', path: requestOf(route).path, headers })
    if (path === '/dev/token') expect(answer.status).toBe(405)
    else expect([answer.status, answer.body]).toEqual([204, ''])
    expect(new Set(String(answer.headers.allow).split(', '))).toEqual(methods)
  })

  it('tells methods only to those who may use one', async () => {
    if (route.access === 'public') return
    const other = METHODS.find((one) => !methods.has(one)) ?? ''
    const answer = await rawRequest(landfall, { method: other, path: requestOf(route).path })
    expect(answer.status).toBe(path === '/dev/token' ? 404 : 401)
    expect(answer.headers.allow).toBeUndefined()
  })
})

describe('a query parameter that a route does not have', () => {
  const UNKNOWN = [
    ['unknown', 'unknown=1'],
    ['Limit', 'Limit=5'],
    ['__proto__', '__proto__=x'],
    ['constructor', 'constructor'],
    ['', '=x'],
    ['limit[]', 'limit[]=1'],
  ] as const
  const inApi = ROUTES.filter(({ path }) => path.startsWith('/api/'))

  it.each(inApi.map((route) => [route.method.toUpperCase(), route.path, route] as const))(
    'is refused and named by %s %s',
    async (method, path, route) => {
      const { path: at, headers, body } = requestOf(route)
      for (const [name, query] of UNKNOWN) {
        const response = await fetch(`${landfall.url}${at}?${query}${linkOf(route.access, at)}`, {
          method,
          headers: { ...headers, ...(route.access !== 'link' && credentials(path)) },
          body: body ?? null,
        })
        expect([query, response.status]).toEqual([query, 400])
        if (method === 'HEAD') continue
        const problem = (await response.json()) as ProblemJson
        expect(problem.code).toBe('invalid-request')
        expect(problem.detail).toContain(JSON.stringify(name))
      }
    },
  )

  it('is refused only behind the token', async () => {
    for (const route of inApi) {
      const answer = await rawRequest(landfall, {
        method: route.method.toUpperCase(),
        path: `${requestOf(route).path}?unknown=1`,
      })
      expect([route.path, answer.status]).toEqual([route.path, 401])
    }
  })

  it('is refused beside a signature, which does not cover it', async () => {
    const path = links.sign(newMediaId(), 'thumbnail')
    const answer = await rawRequest(landfall, { method: 'GET', path: `${path}&utm_source=x` })
    expect([answer.status, problemOf(answer).code]).toEqual([400, 'invalid-request'])
    // By itself the link is good, for nothing.
    expect((await rawRequest(landfall, { method: 'GET', path })).status).toBe(404)
  })

  it('is named in part where its name is long', async () => {
    const answer = await rawRequest(landfall, {
      method: 'GET',
      path: `/api/v1/quota?${'x'.repeat(4000)}=1`,
      headers: credentials(''),
    })
    expect(answer.status).toBe(400)
    expect(answer.body.length).toBeLessThan(1000)
  })

  it.each(['/healthz', '/readyz', '/metrics', '/openapi.json'])(
    'is let be at %s, where probes have what they are set to',
    async (path) => {
      const answer = await rawRequest(landfall, { method: 'GET', path: `${path}?_=1` })
      expect(answer.status).toBe(200)
    },
  )

  /** Routes by link alone take no token. */
  function linkOf(access: string, at: string): string {
    if (access !== 'link') return ''
    const [, id = '', target = ''] = /^\/api\/v1\/media\/([^/]+)\/(.+)$/.exec(at) ?? []
    return `&${links.sign(parseMediaId(id) ?? newMediaId(), target as LinkTarget).split('?')[1]}`
  }
})
