import { createHmac, generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { request } from 'node:http'
import jwt, { type SignOptions } from 'jsonwebtoken'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Landfall, SECRET, startLandfall } from './support/landfall.ts'
import { ask, guardedRoutes } from './support/routes.ts'

const ISSUER = 'https://issuer.test'
const AUDIENCE = 'landfall'
const TOLERANCE_SECONDS = 30
const ROUTES = guardedRoutes()

const now = () => Math.floor(Date.now() / 1000)

/** A token with nothing wrong about it but what is given. `undefined` leaves a claim out. */
function sign(wrong: { claims?: object; secret?: string; options?: SignOptions } = {}): string {
  const claims = { sub: 'alice', iss: ISSUER, aud: AUDIENCE, exp: now() + 3600, ...wrong.claims }
  // As an issuer would send it: a claim that is undefined is not there.
  const payload: unknown = JSON.parse(JSON.stringify(claims))
  return jwt.sign(payload as object, wrong.secret ?? SECRET, wrong.options)
}

const bearer = (token: string) => `Bearer ${token}`
const unsigned = () => jwt.sign({ sub: 'alice', exp: now() + 3600 }, '', { algorithm: 'none' })
const base64url = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')

function tampered(): string {
  const [header, , signature] = sign().split('.')
  return [header, base64url({ sub: 'bob', iss: ISSUER, aud: AUDIENCE, exp: now() + 3600 }), signature].join(
    '.',
  )
}

/** Right in its signature, whatever it says. */
function crafted(header: string, payload: string): string {
  const content = [header, payload].map((text) => Buffer.from(text).toString('base64url')).join('.')
  return `${content}.${createHmac('sha256', SECRET).update(content).digest('base64url')}`
}

function signedByRsa(): string {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' })
  return sign({ secret: String(key), options: { algorithm: 'RS256' } })
}

const MISSING = 'Bearer'
const MALFORMED = 'Bearer error="invalid_request"'
const INVALID = 'Bearer error="invalid_token"'

type Refused = [credential: string, authorization: () => string | undefined, code: string, challenge: string]

const refused: Refused[] = [
  ['no token', () => undefined, 'token-missing', MISSING],
  ['an empty header', () => '', 'token-invalid', MALFORMED],
  ['a scheme alone', () => 'Bearer', 'token-invalid', MALFORMED],
  ['another scheme', () => 'Basic YWxpY2U6c2VjcmV0', 'token-invalid', MALFORMED],
  ['two tokens', () => `Bearer ${sign()} ${sign()}`, 'token-invalid', MALFORMED],
  ['a token without a scheme', sign, 'token-invalid', MALFORMED],
  ['something that is no token', () => bearer('abc'), 'token-invalid', INVALID],
  ['a token of noise', () => bearer('e30.e30.e30'), 'token-invalid', INVALID],
  [
    'a payload that is no JSON',
    () => bearer(crafted('{"alg":"HS256","typ":"JWT"}', 'sub=alice')),
    'token-invalid',
    INVALID,
  ],
  [
    'a header that asks for something unknown (crit)',
    () => bearer(crafted('{"alg":"HS256","crit":["exp"]}', JSON.stringify(jwt.decode(sign())))),
    'token-invalid',
    INVALID,
  ],
  ['a tenant', () => bearer(sign({ claims: { tenant: 'acme' } })), 'token-invalid', INVALID],
  ['an expired token', () => bearer(sign({ claims: { exp: now() - 60 } })), 'token-expired', INVALID],
  [
    'a token that is not valid yet',
    () => bearer(sign({ claims: { nbf: now() + 60 } })),
    'token-invalid',
    INVALID,
  ],
  ['another secret', () => bearer(sign({ secret: `${SECRET}!` })), 'token-invalid', INVALID],
  ['claims changed after signing', () => bearer(tampered()), 'token-invalid', INVALID],
  ['no signature (alg: none)', () => bearer(unsigned()), 'token-invalid', INVALID],
  [
    'HS384 where HS256 is accepted',
    () => bearer(sign({ options: { algorithm: 'HS384' } })),
    'token-invalid',
    INVALID,
  ],
  ['RS256 where a secret is shared', () => bearer(signedByRsa()), 'token-invalid', INVALID],
  ['another audience', () => bearer(sign({ claims: { aud: 'elsewhere' } })), 'token-invalid', INVALID],
  ['no audience', () => bearer(sign({ claims: { aud: undefined } })), 'token-invalid', INVALID],
  ['another issuer', () => bearer(sign({ claims: { iss: 'https://evil.test' } })), 'token-invalid', INVALID],
  ['no issuer', () => bearer(sign({ claims: { iss: undefined } })), 'token-invalid', INVALID],
  ['no expiry', () => bearer(sign({ claims: { exp: undefined } })), 'token-invalid', INVALID],
  ['no subject', () => bearer(sign({ claims: { sub: undefined } })), 'token-invalid', INVALID],
]

type OpenApi = { paths: Record<string, Record<string, { security?: object[] }>> }

describe('a token signed with a shared secret', () => {
  let landfall: Landfall

  beforeAll(async () => {
    landfall = await startLandfall({
      withoutWorker: true,
      env: { AUTH_ISSUER: ISSUER, AUTH_AUDIENCE: AUDIENCE, AUTH_CLOCK_TOLERANCE: `${TOLERANCE_SECONDS}s` },
    })
  })
  afterAll(() => landfall?.close())

  const statusWith = async (token: string): Promise<number> => {
    const response = await fetch(`${landfall.url}/api/v1/quota`, {
      headers: { Authorization: bearer(token) },
    })
    await response.body?.cancel()
    return response.status
  }

  it.each(refused)('%s is refused on every route', async (_credential, authorization, code, challenge) => {
    const answers = await Promise.all(ROUTES.map((route) => ask(landfall, route, authorization())))
    expect(
      answers.map((answer, index) => ({
        route: ROUTES[index],
        status: answer.status,
        challenge: answer.challenge,
        code: answer.problem?.code,
      })),
    ).toEqual(
      ROUTES.map((route) => ({
        route,
        status: 401,
        challenge,
        code: route.method === 'HEAD' ? undefined : code,
      })),
    )
  })

  it('is needed on every documented route that does not say otherwise, and these are all of them', async () => {
    const document = (await (await fetch(`${landfall.url}/openapi.json`)).json()) as OpenApi
    const documented = Object.entries(document.paths).flatMap(([path, operations]) =>
      Object.entries(operations)
        .filter(([method, { security }]) => method !== 'parameters' && security?.length !== 0)
        .map(([method]) => `${method.toUpperCase()} ${path}`),
    )
    const asked = new Set(
      ROUTES.flatMap(({ method, template }) => (template === undefined ? [] : [`${method} ${template}`])),
    )
    expect([...asked].sort()).toEqual(documented.sort())
  })

  it('is refused with a whole problem document that no cache keeps and that tells nothing of the inside', async () => {
    const { headers, problem } = await ask(
      landfall,
      { method: 'GET', path: '/api/v1/media' },
      bearer(tampered()),
    )
    expect(problem).toEqual({
      type: 'urn:landfall:token-invalid',
      title: 'The token is not valid',
      status: 401,
      detail: 'The signature or the claims of the token are not valid for this server.',
      code: 'token-invalid',
      requestId: headers.get('X-Request-Id'),
    })
    expect(headers.get('Cache-Control')).toBe('no-store')
  })

  it('is refused beside another one, in whatever order and case their headers come', async () => {
    const statusOf = async (...lines: string[]) => {
      const { hostname, port } = new URL(landfall.url)
      const sent = request({
        hostname,
        port,
        path: '/api/v1/quota',
        headers: ['Host', hostname, ...lines],
      }).end()
      const [answer] = await once(sent, 'response')
      answer.resume()
      return answer.statusCode
    }
    const [good, other] = [bearer(sign()), bearer('abc')]
    expect(await statusOf('Authorization', good)).toBe(200)
    expect(await statusOf('Authorization', good, 'authorization', other)).toBe(401)
    expect(await statusOf('AUTHORIZATION', other, 'Authorization', good)).toBe(401)
    expect(await statusOf('Authorization', good, 'Authorization', good)).toBe(401)
  })

  const subjects: [string, unknown][] = [
    ['empty', ''],
    ['a number', 7],
    ['a list', ['alice']],
    ['longer than 255 characters', 'a'.repeat(256)],
    ['one with a line break', 'alice\nbob'],
    ['one with a NUL', 'alice\0'],
    ['half a surrogate pair, which the ledger could not tell from another', '\ud800'],
  ]
  it.each(subjects)('with a subject that is %s is refused', async (_what, sub) => {
    const { status, problem } = await ask(
      landfall,
      { method: 'GET', path: '/api/v1/media' },
      bearer(sign({ claims: { sub } })),
    )
    expect([status, problem?.code]).toEqual([401, 'token-invalid'])
  })

  it.each<[string, () => object]>([
    ['with nothing wrong', () => ({})],
    ['that expired within the clock tolerance', () => ({ exp: now() - 1 })],
    ['valid from a moment within the clock tolerance on', () => ({ nbf: now() + TOLERANCE_SECONDS - 5 })],
    ['for several audiences, ours among them', () => ({ aud: ['elsewhere', AUDIENCE] })],
    ['with a subject of 255 characters', () => ({ sub: 'a'.repeat(255) })],
    ['with a list of scopes', () => ({ scope: ['admin'] })],
  ])('%s is accepted', async (_what, claims) => {
    expect(await statusWith(sign({ claims: claims() }))).toBe(200)
  })

  it('is accepted whatever the case of the scheme', async () => {
    const response = await fetch(`${landfall.url}/api/v1/quota`, {
      headers: { Authorization: `bearer ${sign()}` },
    })
    expect(response.status).toBe(200)
  })

  it('is not looked for in the query or a cookie', async () => {
    for (const [path, headers] of [
      [`/api/v1/quota?access_token=${sign()}&token=${sign()}`, {}],
      ['/api/v1/quota', { Cookie: `token=${sign()}; access_token=${sign()}` }],
    ] as const) {
      const response = await fetch(new URL(path, landfall.url), { headers })
      expect(response.status).toBe(401)
    }
  })

  it('is not needed for a preflight, for health, for readiness or for metrics', async () => {
    const preflight = await fetch(`${landfall.url}/files`, { method: 'OPTIONS' })
    expect(preflight.status).toBe(204)
    expect((await fetch(`${landfall.url}/healthz`)).status).toBe(200)
    expect((await fetch(`${landfall.url}/readyz`)).status).not.toBe(401)
    expect((await fetch(`${landfall.url}/metrics`)).status).toBe(200)
  })

  it('leaves no upload behind when it is refused', async () => {
    const rows = await landfall.db.selectFrom('landfall.uploads').select('id').execute()
    expect(rows).toEqual([])
  })
})
