import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { problemOf, rawRequest } from './support/raw-http.ts'

describe('POST /dev/token', () => {
  let landfall: Landfall

  beforeAll(async () => {
    landfall = await startLandfall({ withoutWorker: true, env: { AUTH_DEV_TOKENS: 'true' } })
  })
  afterAll(() => landfall?.close())

  const ask = (
    body: string,
    headers: Record<string, string> = {},
    target: Pick<Landfall, 'url'> = landfall,
  ) =>
    rawRequest(target, {
      method: 'POST',
      path: '/dev/token',
      headers: { 'Content-Type': 'application/json', ...headers },
      body: Buffer.from(body),
    })
  const alice = '{"sub":"alice"}'

  it('gives a token that the server accepts, for whom it was asked', async () => {
    const answer = await ask('{"sub":"alice","scope":"admin"}')
    expect(answer.status).toBe(200)
    expect(answer.headers['cache-control']).toBe('no-store')
    const { token } = JSON.parse(answer.body) as { token: string }
    const created = await fetch(`${landfall.url}/files`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${token}`, 'Tus-Resumable': '1.0.0', 'Upload-Length': '2000' },
    })
    expect(created.status).toBe(201)
    const owners = await landfall.db.selectFrom('uploads').select('owner_id').execute()
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

  it('believes no forwarded name', async () => {
    const answer = await ask(alice, {
      Host: 'evil.test',
      'X-Forwarded-Host': 'localhost',
      Forwarded: 'host=localhost',
    })
    expect(answer.status).toBe(404)
  })

  it('lets no page elsewhere read its answer', async () => {
    const answer = await ask(alice, { Origin: 'https://evil.test' })
    expect(answer.headers['access-control-allow-origin']).toBeUndefined()
  })

  it.each<[string, string, Record<string, string>]>([
    ['nobody', '{}', {}],
    ['an empty name', '{"sub":""}', {}],
    ['a name that is too long', JSON.stringify({ sub: 'a'.repeat(256) }), {}],
    ['a number', '{"sub":7}', {}],
    ['a scope that is no text', '{"sub":"a","scope":["admin"]}', {}],
    ['something that is no JSON', '{', {}],
    ['a form, which a page may send without asking', 'sub=alice', { 'Content-Type': 'text/plain' }],
  ])('refuses to speak for %s', async (_whom, body, headers) => {
    const answer = await ask(body, headers)
    expect([answer.status, problemOf(answer).code]).toEqual([400, 'invalid-request'])
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
