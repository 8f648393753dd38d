import jwt from 'jsonwebtoken'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { exchange } from './support/raw-connection.ts'
import { problemOf, rawRequest } from './support/raw-http.ts'

const alice = '{"sub":"alice"}'

describe('POST /dev/token', () => {
  let landfall: Landfall

  beforeAll(async () => {
    landfall = await startLandfall({ withoutWorker: true, env: { AUTH_DEV_TOKENS: 'true' } })
  })
  afterAll(() => landfall?.close())

  const ask = (
    body: string,
    headers: Record<string, string | string[]> = {},
    target: Pick<Landfall, 'url' | 'devCode'> = landfall,
  ) =>
    rawRequest(target, {
      method: 'POST',
      path: '/dev/token',
      headers: { 'Content-Type': 'application/json', 'X-Dev-Code': target.devCode ?? 'none', ...headers },
      body: Buffer.from(body),
    })

  it('gives a token that the server accepts, for whom it was asked', async () => {
    const answer = await ask(alice)
    expect(answer.status).toBe(200)
    expect(answer.headers['cache-control']).toBe('no-store')
    const { token } = JSON.parse(answer.body) as { token: string }
    const created = await fetch(`${landfall.url}/files`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${token}`, 'Tus-Resumable': '1.0.0', 'Upload-Length': '2000' },
    })
    expect(created.status).toBe(201)
    const owners = await landfall.db.selectFrom('landfall.uploads').select('owner_id').execute()
    expect(owners).toEqual([{ owner_id: 'alice' }])
  })

  it.each([
    'localhost',
    'localhost:1080',
    'LOCALHOST',
    '127.0.0.1',
    '127.0.0.1:8080',
    '127.1.2.3',
    '[::1]',
    '[::1]:1080',
  ])('answers under the name %s', async (host) => {
    expect((await ask(alice, { Host: host })).status).toBe(200)
  })

  it.each([
    'evil.test',
    'localhost.evil.test',
    '127.0.0.1.evil.test',
    'evil.test:127',
    'localhost@evil.test',
    '128.0.0.1',
    '192.168.0.1',
    '0.0.0.0',
    '[::2]',
    '[::ffff:7f00:1]',
    'localhost:',
  ])('is not there under the name %j, which a page elsewhere could use', async (host) => {
    const answer = await ask(alice, { Host: host })
    expect([answer.status, problemOf(answer).code]).toEqual([404, 'not-found'])
  })

  it.each<[string, (code: string) => Record<string, string | string[]>]>([
    ['no code', () => ({ 'X-Dev-Code': [] })],
    ['an empty code', () => ({ 'X-Dev-Code': '' })],
    ['another code', (code) => ({ 'X-Dev-Code': `${code.slice(0, -1)}${code.endsWith('A') ? 'B' : 'A'}` })],
    ['the beginning of the code', (code) => ({ 'X-Dev-Code': code.slice(0, 16) })],
    ['the code and more', (code) => ({ 'X-Dev-Code': `${code}A` })],
    ['the code twice', (code) => ({ 'X-Dev-Code': [code, code] })],
    ['the code in another header', (code) => ({ 'X-Dev-Code': [], Authorization: `Bearer ${code}` })],
  ])('is not there for who has %s', async (_what, headers) => {
    const answer = await ask(alice, headers(landfall.devCode ?? ''))
    expect([answer.status, problemOf(answer).code]).toEqual([404, 'not-found'])
  })

  it('is not there for who has the code in the address', async () => {
    const answer = await rawRequest(landfall, {
      method: 'POST',
      path: `/dev/token?code=${landfall.devCode}&X-Dev-Code=${landfall.devCode}`,
      headers: { 'Content-Type': 'application/json' },
      body: Buffer.from(alice),
    })
    expect(answer.status).toBe(404)
  })

  it.each([
    'Forwarded',
    'X-Forwarded-For',
    'X-Forwarded-Host',
    'X-Forwarded-Proto',
    'X-Forwarded-Port',
    'X-Forwarded-Server',
    'X-Forwarded-Prefix',
    'X-Forwarded',
    'X_Forwarded_For',
    'Forwarded-For',
    'X-Original-Forwarded-For',
    'X-Real-IP',
    'Via',
    'X-Client-IP',
    'Client-IP',
    'X-Cluster-Client-IP',
    'True-Client-IP',
    'Fastly-Client-IP',
    'Fly-Client-IP',
    'CF-Connecting-IP',
    'CF-Ray',
    'CDN-Loop',
    'X-ProxyUser-Ip',
    'Proxy-Connection',
    'X-Original-Host',
    'X-Original-URL',
    'X-Rewrite-URL',
    'X-Remote-Addr',
    'X-Originating-IP',
    'X-Envoy-External-Address',
    'X-Amzn-Trace-Id',
    'X-Azure-ClientIP',
    'X-Scheme',
    'Front-End-Https',
    'Max-Forwards',
  ])('is not there with the header %s, which proxies add', async (name) => {
    for (const value of ['127.0.0.1', 'for=127.0.0.1;host=localhost', '']) {
      const answer = await ask(alice, { [name]: value })
      expect([answer.status, problemOf(answer).code]).toEqual([404, 'not-found'])
    }
  })

  it('answers what a browser sends', async () => {
    const origin = landfall.url
    const headers = {
      Host: new URL(origin).host,
      Origin: origin,
      Referer: `${origin}/`,
      Accept: '*/*',
      'Accept-Language': 'en-US,en;q=0.9',
      'Accept-Encoding': 'gzip, deflate, br, zstd',
      'User-Agent': 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/141.0.0.0 Safari/537.36',
      'Sec-CH-UA': '"Chromium";v="141"',
      'Sec-CH-UA-Mobile': '?0',
      'Sec-CH-UA-Platform': '"Linux"',
      'Sec-Fetch-Dest': 'empty',
      'Sec-Fetch-Mode': 'cors',
      'Sec-Fetch-Site': 'same-origin',
      'Sec-GPC': '1',
      DNT: '1',
      Priority: 'u=1, i',
      Pragma: 'no-cache',
      'Cache-Control': 'no-cache',
      Cookie: 'a=b',
    }
    expect((await ask(alice, headers)).status).toBe(200)
  })

  it.each(['http://localhost/dev/token', 'http://127.0.0.1:1080/dev/token', 'localhost/dev/token', '*'])(
    'is not there for the target %s, which is how proxies are asked',
    async (target) => {
      const answer = await rawPost(landfall, target, 'Host: localhost')
      expect(answer).toMatch(/^HTTP\/1\.1 40[04] /)
      expect(answer).not.toContain('"token"')
    },
  )

  it('is not there with two Host headers', async () => {
    expect(await rawPost(landfall, '/dev/token', 'Host: localhost\r\nHost: evil.test')).toMatch(
      /^HTTP\/1\.1 40[04] /,
    )
  })

  it('lets no page elsewhere read its answer, or ask with the code at all', async () => {
    const answer = await ask(alice, { Origin: 'https://evil.test' })
    expect(answer.headers['access-control-allow-origin']).toBeUndefined()
    const preflight = await rawRequest(landfall, {
      method: 'OPTIONS',
      path: '/dev/token',
      headers: {
        Origin: 'https://evil.test',
        'Access-Control-Request-Method': 'POST',
        'Access-Control-Request-Headers': 'x-dev-code,content-type',
      },
    })
    expect(preflight.status).toBe(404)
    expect(Object.keys(preflight.headers).filter((name) => name.startsWith('access-control-'))).toEqual([])
  })

  it.each<[string, string, Record<string, string>]>([
    ['nobody', '{}', {}],
    ['an empty name', '{"sub":""}', {}],
    ['a name that is too long', JSON.stringify({ sub: 'a'.repeat(256) }), {}],
    ['a number', '{"sub":7}', {}],
    ['a scope that is no text', '{"sub":"a","scope":["admin"]}', {}],
    ['something that is no JSON', '{', {}],
  ])('refuses to speak for %s', async (_whom, body, headers) => {
    const answer = await ask(body, headers)
    expect([answer.status, problemOf(answer).code]).toEqual([400, 'invalid-request'])
  })

  it('refuses to speak for a form, which a page may send without asking', async () => {
    const answer = await ask('sub=alice', { 'Content-Type': 'text/plain' })
    expect([answer.status, problemOf(answer).code]).toEqual([415, 'unsupported-content-type'])
  })

  it.each(['admin', 'service', 'admin service', ' service ', 'other', 'admin\tservice', 'Admin'])(
    'gives no scope beyond those of an owner: %j',
    async (scope) => {
      const answer = await ask(JSON.stringify({ sub: 'alice', scope }))
      expect([answer.status, problemOf(answer).code]).toEqual([403, 'forbidden'])
      expect(problemOf(answer).detail).toContain('AUTH_DEV_SCOPES')
    },
  )

  it('gives the scopes that the operator allows, and no others', async () => {
    const generous = await startLandfall({
      withoutWorker: true,
      env: { AUTH_DEV_TOKENS: 'true', AUTH_DEV_SCOPES: 'admin, service' },
    })
    try {
      const scoped = await ask('{"sub":"alice","scope":"service admin"}', {}, generous)
      const { token } = JSON.parse(scoped.body) as { token: string }
      expect(jwt.decode(token)).toMatchObject({ sub: 'alice', scope: 'service admin' })
      expect((await ask('{"sub":"alice","scope":"admin other"}', {}, generous)).status).toBe(403)
      // The code is that of a start: another one's is worth nothing.
      expect((await ask(alice, { 'X-Dev-Code': landfall.devCode ?? '' }, generous)).status).toBe(404)
    } finally {
      await generous.close()
    }
  })

  it.each<Record<string, string>>([{}, { AUTH_DEV_TOKENS: 'false' }])('is not there with %j', async (env) => {
    const plain = await startLandfall({ withoutWorker: true, env })
    try {
      const answer = await ask(alice, {}, plain)
      expect([answer.status, problemOf(answer).code]).toEqual([404, 'not-found'])
    } finally {
      await plain.close()
    }
  })
})

/** What the server says to a POST with this target and these lines for a host. */
async function rawPost(landfall: Landfall, target: string, host: string): Promise<string> {
  return await exchange(
    landfall,
    `POST ${target} HTTP/1.1\r\n${host}\r\nX-Dev-Code: ${landfall.devCode}\r\nConnection: close\r\n` +
      `Content-Type: application/json\r\nContent-Length: ${alice.length}\r\n\r\n${alice}`,
  )
}
