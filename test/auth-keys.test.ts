import { createHmac, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import jwt, { type Algorithm } from 'jsonwebtoken'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { createVerifier, type Verify } from '../server/auth/verifier.ts'
import { parseConfig } from '../server/config.ts'
import { Problem } from '../server/http/errors.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { ask } from './support/routes.ts'

type KeyPair = { publicKey: KeyObject; privateKey: KeyObject }

const rsa = (): KeyPair => generateKeyPairSync('rsa', { modulusLength: 2048 })
const ec = (): KeyPair => generateKeyPairSync('ec', { namedCurve: 'P-256' })
const pemOf = ({ publicKey }: KeyPair) => String(publicKey.export({ type: 'spki', format: 'pem' }))

function sign(key: KeyObject | string, algorithm: Algorithm, kid?: string): string {
  const claims = { sub: 'alice', exp: Math.floor(Date.now() / 1000) + 3600 }
  return jwt.sign(claims, key, { algorithm, ...(kid === undefined ? {} : { keyid: kid }) })
}

/** A verifier of a server configured like this, which is all of it that these tests need. */
const verifierWith = (env: Record<string, string>): Verify => createVerifier(parseConfig(env, { auth: true }))

async function refusalOf(verify: Verify, token: string): Promise<string> {
  try {
    await verify(token)
  } catch (error) {
    if (error instanceof Problem) return error.code
    throw error
  }
  return 'accepted'
}

describe('a token under a public key', () => {
  it.each([
    ['RS256', rsa()],
    ['ES256', ec()],
  ] as const)('is accepted when signed with %s by its private half', async (algorithm, pair) => {
    const verify = verifierWith({ AUTH_JWT_PUBLIC_KEY: pemOf(pair) })
    expect(await verify(sign(pair.privateKey, algorithm))).toMatchObject({ ownerId: 'alice' })
  })

  it('may be configured on one line, as environment files have it', async () => {
    const pair = rsa()
    const verify = verifierWith({ AUTH_JWT_PUBLIC_KEY: pemOf(pair).replaceAll('\n', '\\n') })
    expect(await refusalOf(verify, sign(pair.privateKey, 'RS256'))).toBe('accepted')
  })

  it.each(['HS256', 'HS384', 'HS512'] as const)(
    'is refused when signed with %s and the public key for a secret',
    async (algorithm) => {
      const pair = rsa()
      const verify = verifierWith({ AUTH_JWT_PUBLIC_KEY: pemOf(pair) })
      // jsonwebtoken refuses to sign like this; an attacker would not.
      for (const secret of [pemOf(pair), pemOf(pair).trim(), pemOf(pair).replaceAll('\n', '\\n')]) {
        expect(await refusalOf(verify, forge(secret, algorithm))).toBe('token-invalid')
      }
    },
  )

  it('is accepted under each of several keys, as long as both are there', async () => {
    const [before, after, stranger] = [rsa(), ec(), rsa()]
    for (const separator of ['', '\n', ', ']) {
      const verify = verifierWith({ AUTH_JWT_PUBLIC_KEY: `${pemOf(after)}${separator}${pemOf(before)}` })
      expect(await refusalOf(verify, sign(before.privateKey, 'RS256'))).toBe('accepted')
      expect(await refusalOf(verify, sign(after.privateKey, 'ES256'))).toBe('accepted')
      expect(await refusalOf(verify, sign(stranger.privateKey, 'RS256'))).toBe('token-invalid')
      const claims = { sub: 'alice', exp: 1 }
      const expired = jwt.sign(claims, before.privateKey, { algorithm: 'RS256' })
      expect(await refusalOf(verify, expired)).toBe('token-expired')
    }
    const alone = verifierWith({ AUTH_JWT_PUBLIC_KEY: pemOf(after) })
    expect(await refusalOf(alone, sign(before.privateKey, 'RS256'))).toBe('token-invalid')
  })

  it('is refused when signed by another key, or with an algorithm that was not chosen', async () => {
    const pair = rsa()
    const verify = verifierWith({ AUTH_JWT_PUBLIC_KEY: pemOf(pair), AUTH_ALGORITHMS: 'RS256' })
    expect(await refusalOf(verify, sign(rsa().privateKey, 'RS256'))).toBe('token-invalid')
    expect(await refusalOf(verify, sign(pair.privateKey, 'RS512'))).toBe('token-invalid')
    expect(await refusalOf(verify, sign(ec().privateKey, 'ES256'))).toBe('token-invalid')
  })
})

/** An HMAC over any text, which is what an HS token is. */
function forge(secret: string, algorithm: 'HS256' | 'HS384' | 'HS512'): string {
  const filler = 'x'.repeat(64)
  const [, payload] = jwt.sign({ sub: 'admin', exp: Math.floor(Date.now() / 1000) + 3600 }, filler).split('.')
  const header = Buffer.from(JSON.stringify({ alg: algorithm, typ: 'JWT' })).toString('base64url')
  const signed = `${header}.${payload}`
  const signature = createHmac(`sha${algorithm.slice(2)}`, secret)
    .update(signed)
    .digest('base64url')
  return `${signed}.${signature}`
}

/** An issuer on loopback whose published keys the test changes. */
class Issuer {
  readonly #server: Server
  keys: object[] = []
  requests = 0

  private constructor() {
    this.#server = createServer((_request, response) => {
      this.requests += 1
      response.setHeader('Content-Type', 'application/json')
      response.end(JSON.stringify({ keys: this.keys }))
    })
  }

  static async start(): Promise<Issuer> {
    const issuer = new Issuer()
    issuer.#server.listen(0, '127.0.0.1')
    await once(issuer.#server, 'listening')
    return issuer
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/keys.json`
  }

  publish(pair: KeyPair, kid: string): void {
    this.keys.push({ ...pair.publicKey.export({ format: 'jwk' }), kid, use: 'sig' })
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }
}

describe('a token whose issuer publishes its keys', () => {
  const first = rsa()
  let issuer: Issuer
  let landfall: Landfall

  beforeAll(async () => {
    issuer = await Issuer.start()
    issuer.publish(first, 'first')
    landfall = await startLandfall({
      withoutWorker: true,
      env: { AUTH_JWT_SECRET: '', AUTH_JWKS_URL: issuer.url },
    })
  })
  afterAll(async () => {
    await landfall?.close()
    await issuer?.close()
  })

  const quota = { method: 'GET', path: '/api/v1/quota' }
  const statusWith = async (token: string) =>
    (await fetch(`${landfall.url}${quota.path}`, { headers: { Authorization: `Bearer ${token}` } })).status

  it('is accepted, and the keys are asked for once', async () => {
    expect(await statusWith(sign(first.privateKey, 'RS256', 'first'))).toBe(200)
    const asked = issuer.requests
    expect(await statusWith(sign(first.privateKey, 'RS256', 'first'))).toBe(200)
    expect(issuer.requests).toBe(asked)
  })

  it('is accepted under a key that was added later, without a restart', async () => {
    const second = ec()
    issuer.publish(second, 'second')
    expect(await statusWith(sign(second.privateKey, 'ES256', 'second'))).toBe(200)
    expect(await statusWith(sign(first.privateKey, 'RS256', 'first'))).toBe(200)
  })

  it('is refused under a key that is too short, while the others go on, and nobody asks for it again', async () => {
    const weak = generateKeyPairSync('rsa', { modulusLength: 1024 })
    issuer.publish(weak, 'weak')
    issuer.keys.push(
      null as unknown as object,
      { kty: 'RSA', kid: 'broken' },
      'nonsense' as unknown as object,
    )
    const warnings: unknown[] = []
    const config = parseConfig({ AUTH_JWKS_URL: issuer.url }, { auth: true })
    const verify = createVerifier(config, ({ kid }) => void warnings.push(kid))
    const { privateKey } = weak
    const forged = jwt.sign({ sub: 'alice' }, privateKey, {
      ...{ algorithm: 'RS256', keyid: 'weak', expiresIn: '1h' },
      allowInsecureKeySizes: true,
    } as jwt.SignOptions)
    expect(await refusalOf(verify, forged)).toBe('token-invalid')
    expect(await refusalOf(verify, sign(first.privateKey, 'RS256', 'first'))).toBe('accepted')
    expect(new Set(warnings)).toEqual(new Set(['weak']))
  })

  it('is refused when signed by another key than it names', async () => {
    const answer = await ask(landfall, quota, `Bearer ${sign(rsa().privateKey, 'RS256', 'first')}`)
    expect([answer.status, answer.problem?.code]).toEqual([401, 'token-invalid'])
    expect(answer.challenge).toBe('Bearer error="invalid_token"')
  })

  it('is refused when signed with a shared secret, without asking the issuer', async () => {
    const asked = issuer.requests
    const answer = await ask(landfall, quota, `Bearer ${forge('a'.repeat(64), 'HS256')}`)
    expect(answer.problem?.code).toBe('token-invalid')
    expect(issuer.requests).toBe(asked)
  })
})

describe('the keys of an issuer', () => {
  const pair = rsa()
  const known = () => sign(pair.privateKey, 'RS256', 'known')
  let issuer: Issuer
  let verify: Verify

  beforeEach(async () => {
    // Time passes when a test says so; nothing else of it is touched.
    vi.useFakeTimers({ toFake: ['performance'] })
    issuer = await Issuer.start()
    issuer.publish(pair, 'known')
    verify = verifierWith({ AUTH_JWKS_URL: issuer.url })
  })
  afterEach(async () => {
    vi.useRealTimers()
    await issuer.close()
  })

  it('do not hold a key id that nobody published, which is a bad token', async () => {
    expect(await refusalOf(verify, sign(pair.privateKey, 'RS256', 'unknown'))).toBe('token-invalid')
  })

  it('are left in peace by invented key ids, and those known go on working', async () => {
    expect(await refusalOf(verify, known())).toBe('accepted')
    for (let i = 0; i < 20; i++) {
      expect(await refusalOf(verify, sign(pair.privateKey, 'RS256', `invented-${i}`))).toBe('token-invalid')
    }
    expect(issuer.requests).toBeLessThanOrEqual(3)
    expect(await refusalOf(verify, known())).toBe('accepted')
  })

  it('are looked up again a while after an invented key id, so that a new key arrives all the same', async () => {
    await refusalOf(verify, sign(pair.privateKey, 'RS256', 'invented'))
    const second = ec()
    issuer.publish(second, 'second')
    vi.advanceTimersByTime(60_000)
    expect(await refusalOf(verify, sign(second.privateKey, 'ES256', 'second'))).toBe('accepted')
  })

  it('stop counting when the issuer withdraws them', async () => {
    expect(await refusalOf(verify, known())).toBe('accepted')
    issuer.keys = []
    issuer.publish(ec(), 'another')
    vi.advanceTimersByTime(3_600_000)
    expect(await refusalOf(verify, known())).toBe('token-invalid')
  })
})

describe('the keys of an issuer that answers, but never to the end', () => {
  it.each<[string, (response: ServerResponse) => void]>([
    [
      'a byte at a time',
      (response) => {
        const timer = setInterval(() => response.write(' '), 200)
        response.once('close', () => clearInterval(timer))
      },
    ],
    [
      'more and more',
      (response) => {
        const filler = Buffer.alloc(64 * 1024, ' ')
        const more = () => {
          while (!response.destroyed && response.write(filler));
        }
        response.on('drain', more)
        more()
      },
    ],
  ])('are an outage: %s', async (_how, answer) => {
    const server = createServer((_request, response) => answer(response.writeHead(200)))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    try {
      const { port } = server.address() as AddressInfo
      const verify = verifierWith({ AUTH_JWKS_URL: `http://127.0.0.1:${port}/keys` })
      expect(await refusalOf(verify, sign(rsa().privateKey, 'RS256', 'any'))).toBe('unavailable')
    } finally {
      server.closeAllConnections()
      server.close()
    }
  })
})

describe('the keys of an issuer that is away', () => {
  it('are an outage, not a bad token', async () => {
    const gone = await Issuer.start()
    const { url } = gone
    await gone.close()
    const landfall = await startLandfall({
      withoutWorker: true,
      env: { AUTH_JWT_SECRET: '', AUTH_JWKS_URL: url },
    })
    try {
      const token = sign(rsa().privateKey, 'RS256', 'any')
      const answer = await ask(landfall, { method: 'GET', path: '/api/v1/quota' }, `Bearer ${token}`)
      expect([answer.status, answer.problem?.code]).toEqual([503, 'unavailable'])
      expect(Number(answer.headers.get('Retry-After'))).toBeGreaterThan(0)
      expect(answer.challenge).toBeNull()
    } finally {
      await landfall.close()
    }
  })
})
