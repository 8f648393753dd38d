import { createHmac } from 'node:crypto'
import jwt from 'jsonwebtoken'
import { describe, expect, it } from 'vitest'
import { ownerIn } from '../../ledger/ids.ts'
import { type Environment, parseConfig } from '../config.ts'
import { Problem } from '../http/errors.ts'
import { createVerifier } from './verifier.ts'

const SECRET = 'a-secret-of-a-test-that-is-long-enough'
const OTHER = 'another-secret-of-a-test-that-is-long-enough'
const base64url = (text: string) => Buffer.from(text).toString('base64url')

/** A token with a right signature, whatever it says. */
function signed(header: string, payload: string, secret = SECRET): string {
  const content = `${base64url(header)}.${base64url(payload)}`
  return `${content}.${createHmac('sha256', secret).update(content).digest('base64url')}`
}

const HEADER = '{"alg":"HS256","typ":"JWT"}'
const claims = (more: object = {}) =>
  JSON.stringify({ sub: 'alice', exp: Math.floor(Date.now() / 1000) + 3600, ...more })
const headerWith = (more: string) => `{"alg":"HS256","typ":"JWT",${more}}`

async function outcomeOf(token: string, env: Environment = {}): Promise<string> {
  const verify = createVerifier(parseConfig({ AUTH_JWT_SECRET: SECRET, ...env }, { auth: true }))
  try {
    return (await verify(token)).ownerId
  } catch (error) {
    if (error instanceof Problem) return `${error.status} ${error.code}`
    throw error
  }
}

const INVALID = '401 token-invalid'

describe('a token with a right signature', () => {
  it('speaks for its subject', async () => {
    expect(await outcomeOf(signed(HEADER, claims()))).toBe('alice')
    expect(await outcomeOf(signed('{"alg":"HS256"}', claims()))).toBe('alice')
    expect(await outcomeOf(signed(headerWith('"kid":"any","x":1'), claims()))).toBe('alice')
  })

  it.each<[string, string]>([
    ['nothing', ''],
    ['no JSON', 'sub=alice'],
    ['half an object', '{"sub":"alice"'],
    ['text', '"alice"'],
    ['an object in a text', JSON.stringify('{"sub":"alice","exp":99999999999}')],
    ['a number', '7'],
    ['null', 'null'],
    ['true', 'true'],
    ['a list', '[{"sub":"alice","exp":99999999999}]'],
    ['an empty object', '{}'],
    ['very deep lists', '['.repeat(20_000)],
    ['deep lists that end', `${'['.repeat(10_000)}${']'.repeat(10_000)}`],
    ['an expiry that is text', '{"sub":"alice","exp":"99999999999"}'],
    ['an expiry that is null', '{"sub":"alice","exp":null}'],
    ['a start that is text', '{"sub":"alice","exp":99999999999,"nbf":"now"}'],
    ['bytes that are no text', Buffer.from([0xff, 0xfe, 0x00]).toString('latin1')],
    ['a subject in another member', '{"__proto__":{"sub":"alice"},"exp":99999999999}'],
  ])('is invalid where its payload is %s', async (_what, payload) => {
    expect(await outcomeOf(signed(HEADER, payload))).toBe(INVALID)
    // Without a type the library reads a payload in another way.
    expect(await outcomeOf(signed('{"alg":"HS256"}', payload))).toBe(INVALID)
  })

  it.each<[string, string]>([
    ['nothing', ''],
    ['no JSON', 'HS256'],
    ['text', '"HS256"'],
    ['null', 'null'],
    ['a list', '["HS256"]'],
    ['an empty object', '{}'],
    ['one without an algorithm', '{"typ":"JWT"}'],
    ['one whose algorithm is a list', '{"alg":["HS256"]}'],
    ['one whose algorithm is an object', '{"alg":{"toString":"HS256"}}'],
    ['one whose algorithm is null', '{"alg":null}'],
    ['one whose algorithm is in another case', '{"alg":"hs256"}'],
    ['one whose algorithm is a member of every object', '{"alg":"constructor"}'],
    ['one whose key id is a number', headerWith('"kid":7')],
    ['one whose key id is a list', headerWith('"kid":["a"]')],
    ['one whose key id is null', headerWith('"kid":null')],
    ['one with critical members', headerWith('"crit":["exp"]')],
    ['one with critical members that are known', headerWith('"crit":["b64"],"b64":true')],
    ['one with an empty list of them', headerWith('"crit":[]')],
    ['one with a crit that is no list', headerWith('"crit":null')],
    ['deep lists', '['.repeat(20_000)],
  ])('is invalid where its header is %s', async (_what, header) => {
    expect(await outcomeOf(signed(header, claims()))).toBe(INVALID)
  })

  it.each(['', '.', '..', '...', 'a.b.c', 'a.b', `${signed(HEADER, claims())}.e30`, `.${HEADER}.`])(
    'is invalid where it is %j',
    async (token) => {
      expect(await outcomeOf(token)).toBe(INVALID)
    },
  )

  const inSeconds = (seconds: number) => Math.floor(Date.now() / 1000) + seconds
  it.each<[string, object, string, string, RegExp]>([
    [
      'begins later',
      { nbf: inSeconds(3600) },
      INVALID,
      'invalid_token',
      /not valid yet: its "nbf" is 2\d{3}-.*Z, and it is 2\d{3}-/,
    ],
    ['begins in milliseconds', { nbf: Date.now() }, INVALID, 'invalid_token', /not valid yet: its "nbf" is/],
    ['begins at no time', { nbf: 1e300 }, INVALID, 'invalid_token', /its "nbf" is no time/],
    [
      'begins and ends wrongly',
      { nbf: inSeconds(60), exp: inSeconds(-60) },
      INVALID,
      'invalid_token',
      /"nbf"/,
    ],
    ['has an nbf that is text', { nbf: 'now' }, INVALID, 'invalid_token', /"nbf" claim .* number of seconds/],
    [
      'has an exp that is text',
      { exp: '99999999999' },
      INVALID,
      'invalid_token',
      /"exp" claim .* number of seconds/,
    ],
    ['has no exp', { exp: undefined }, INVALID, 'invalid_token', /no "exp" claim/],
    ['has expired', { exp: inSeconds(-60) }, '401 token-expired', 'invalid_token', /expired/],
    ['is of another issuer', { iss: 'other', aud: 'us' }, INVALID, 'invalid_token', /"iss" claim/],
    ['is for another server', { iss: 'we', aud: 'them' }, INVALID, 'invalid_token', /"aud" claim/],
  ])('is told when it %s', async (_what, more, outcome, error, detail) => {
    const env = 'iss' in more ? { AUTH_ISSUER: 'we', AUTH_AUDIENCE: 'us' } : {}
    const token = signed(HEADER, claims(more))
    expect(await outcomeOf(token, env)).toBe(outcome)
    for (const secrets of [SECRET, `${OTHER}, ${SECRET}`, `${SECRET}, ${OTHER}`]) {
      const config = parseConfig({ AUTH_JWT_SECRET: secrets, ...env }, { auth: true })
      await expect(createVerifier(config)(token)).rejects.toMatchObject({
        message: expect.stringMatching(detail),
        headers: { 'WWW-Authenticate': `Bearer error="${error}"` },
      })
    }
    // Nobody else learns which claim it was.
    await expect(
      createVerifier(parseConfig({ AUTH_JWT_SECRET: OTHER, ...env }, { auth: true }))(token),
    ).rejects.toThrow('signature')
  })

  it('is valid with an nbf that the tolerated difference of clocks covers, and with any iat', async () => {
    expect(await outcomeOf(signed(HEADER, claims({ nbf: inSeconds(20) })))).toBe('alice')
    for (const iat of [inSeconds(3600), 'now', null, Date.now()])
      expect(await outcomeOf(signed(HEADER, claims({ iat })))).toBe('alice')
  })

  it('is read in little time, however long it is', async () => {
    const startedAt = performance.now()
    for (let i = 0; i < 20; i++) {
      await outcomeOf(signed(HEADER, claims({ filler: 'x'.repeat(60_000) })))
      await outcomeOf('.'.repeat(60_000))
      await outcomeOf(`${'a'.repeat(30_000)}.${'a'.repeat(30_000)}.`)
    }
    expect(performance.now() - startedAt).toBeLessThan(5_000)
  })
})

describe('a secret that is being changed', () => {
  const both = { AUTH_JWT_SECRET: `${OTHER}, ${SECRET}` }

  it('counts beside the one that follows it', async () => {
    expect(await outcomeOf(signed(HEADER, claims()), both)).toBe('alice')
    expect(await outcomeOf(signed(HEADER, claims(), OTHER), both)).toBe('alice')
    expect(await outcomeOf(signed(HEADER, claims()), { AUTH_JWT_SECRET: `${OTHER}\n${SECRET}\n` })).toBe(
      'alice',
    )
  })

  it('leaves a token expired or wrong, as with one secret', async () => {
    const expired = claims({ exp: Math.floor(Date.now() / 1000) - 3600 })
    for (const secret of [SECRET, OTHER]) {
      expect(await outcomeOf(signed(HEADER, expired, secret), both)).toBe('401 token-expired')
    }
    expect(await outcomeOf(signed(HEADER, claims(), `${SECRET}!`), both)).toBe(INVALID)
    expect(await outcomeOf(signed(HEADER, expired, `${SECRET}!`), both)).toBe(INVALID)
    expect(await outcomeOf(signed(HEADER, claims(), ''), both)).toBe(INVALID)
  })

  it('counts no more when it is gone', async () => {
    expect(await outcomeOf(signed(HEADER, claims()), { AUTH_JWT_SECRET: OTHER })).toBe(INVALID)
  })

  it.each(['correct horse battery staple, and a mare', `${SECRET}, ${OTHER}`])(
    'was %j before several could be given, and signs the same tokens',
    async (secret) => {
      expect(await outcomeOf(signed(HEADER, claims(), secret), { AUTH_JWT_SECRET: secret })).toBe('alice')
    },
  )
})

describe('a token that names a tenant', () => {
  const named = (tenant: unknown) => signed(HEADER, claims({ tenant }))

  it.each<[string, Environment, string]>([
    ['nothing', {}, INVALID],
    ['off', { AUTH_TENANT: 'off' }, INVALID],
    ['optional', { AUTH_TENANT: 'optional' }, 'acme\u001falice'],
    ['required', { AUTH_TENANT: 'required' }, 'acme\u001falice'],
  ])('is taken or not, with AUTH_TENANT set to %s', async (_what, env, outcome) => {
    expect(await outcomeOf(named('acme'), env)).toBe(outcome)
  })

  it('says which setting would accept it', async () => {
    const verify = createVerifier(parseConfig({ AUTH_JWT_SECRET: SECRET }, { auth: true }))
    await expect(verify(named('acme'))).rejects.toThrow(/"tenant" claim.*AUTH_TENANT=optional/)
  })

  it.each([null, '', 7, true, ['acme'], {}, 'a\nb', 'a\u001fb', 'a'.repeat(256)])(
    'is refused when the tenant is %j',
    async (tenant) => {
      for (const mode of ['off', 'optional', 'required']) {
        expect(await outcomeOf(named(tenant), { AUTH_TENANT: mode })).toBe(INVALID)
      }
    },
  )

  it('is the only one that AUTH_TENANT=required takes', async () => {
    expect(await outcomeOf(signed(HEADER, claims()), { AUTH_TENANT: 'required' })).toBe(INVALID)
    expect(await outcomeOf(signed(HEADER, claims()), { AUTH_TENANT: 'optional' })).toBe('alice')
  })

  it('gives its tenant to the principal', async () => {
    const config = parseConfig({ AUTH_JWT_SECRET: SECRET, AUTH_TENANT: 'optional' }, { auth: true })
    expect(
      await createVerifier(config)(jwt.sign({ tenant: 'acme' }, SECRET, { subject: 'a', expiresIn: 60 })),
    ).toMatchObject({
      ownerId: ownerIn('acme', 'a'),
      tenantId: 'acme',
    })
  })
})

describe('the claims of a token', () => {
  const principal = async (payload: object, env: Environment = {}) => {
    const verify = createVerifier(parseConfig({ AUTH_JWT_SECRET: SECRET, ...env }, { auth: true }))
    const { ownerId, scopes, attachable } = await verify(signed(HEADER, claims(payload)))
    return { ownerId, scopes: [...scopes], attachable }
  }

  it.each<[string, Environment, object, string]>([
    ['a subject', {}, {}, 'alice'],
    ['another claim', { AUTH_OWNER_CLAIM: 'user_id' }, { user_id: 7 }, '7'],
    ['a claim with an address', { AUTH_OWNER_CLAIM: 'https://x.test/id' }, { 'https://x.test/id': 'b' }, 'b'],
    ['a claim in another', { AUTH_OWNER_CLAIM: 'user.name' }, { user: { name: 'c' } }, 'c'],
    [
      'a claim with a dot before one in another',
      { AUTH_OWNER_CLAIM: 'user.name' },
      { 'user.name': 'd', user: { name: 'c' } },
      'd',
    ],
    [
      'a tenant in another claim',
      { AUTH_TENANT: 'required', AUTH_TENANT_CLAIM: 'org.id' },
      { org: { id: 3 } },
      '3\u001falice',
    ],
  ])('name the owner by %s', async (_what, env, payload, ownerId) => {
    expect((await principal(payload, env)).ownerId).toBe(ownerId)
  })

  it.each<[string, Environment, object]>([
    ['missing', { AUTH_OWNER_CLAIM: 'user_id' }, {}],
    ['null', {}, { sub: null }],
    ['true', {}, { sub: true }],
    ['a number that is to be a text', {}, { sub: 42 }],
    ['a fraction', { AUTH_OWNER_CLAIM: 'id' }, { id: 1.5 }],
    ['a number that is not exact', { AUTH_OWNER_CLAIM: 'id' }, { id: 2 ** 53 }],
    ['a list', {}, { sub: ['alice'] }],
    ['text with a control character', {}, { sub: 'acme\u001falice' }],
    ['inherited', { AUTH_OWNER_CLAIM: 'constructor.name' }, {}],
    ['inherited in another', { AUTH_OWNER_CLAIM: 'user.constructor.name' }, { user: {} }],
    ['a character of a text', { AUTH_OWNER_CLAIM: 'sub.0' }, {}],
  ])('are refused where that of the owner is %s', async (_what, env, payload) => {
    expect(await outcomeOf(signed(HEADER, claims(payload)), env)).toBe(INVALID)
  })

  it.each<[string, Environment, object, string[]]>([
    ['nothing', {}, {}, []],
    ['an empty text', {}, { scope: '' }, []],
    ['words', {}, { scope: ' admin  service ' }, ['admin', 'service']],
    ['a list', {}, { scope: ['admin', 'service'] }, ['admin', 'service']],
    ['an empty list', {}, { scope: [] }, []],
    ['scp', { AUTH_SCOPE_CLAIM: 'scp' }, { scp: ['admin'], scope: 'service' }, ['admin']],
    [
      'roles of a realm',
      { AUTH_SCOPE_CLAIM: 'realm_access.roles' },
      { realm_access: { roles: ['service'] } },
      ['service'],
    ],
  ])('have the scopes of %s', async (_what, env, payload, scopes) => {
    expect((await principal(payload, env)).scopes).toEqual(scopes)
  })

  it.each([
    null,
    7,
    true,
    {},
    { admin: true },
    ['admin', 7],
    ['admin service'],
    [''],
    [null],
    [['admin']],
    'admin\tservice\n',
  ])('are refused where the scope is %j', async (scope) => {
    expect(await outcomeOf(signed(HEADER, claims({ scope })))).toBe(INVALID)
    const env = { AUTH_ATTACH_CLAIM: 'attach' }
    expect(await outcomeOf(signed(HEADER, claims({ attach: scope })), env)).toBe(INVALID)
  })

  it('list what files may be attached to, where the server asks for that', async () => {
    const env = { AUTH_ATTACH_CLAIM: 'attach' }
    expect((await principal({ attach: ['course:7', 'post:*'] }, env)).attachable).toEqual([
      'course:7',
      'post:*',
    ])
    expect((await principal({}, env)).attachable).toEqual([])
    expect((await principal({ attach: ['course:7'] })).attachable).toBeUndefined()
  })
})
