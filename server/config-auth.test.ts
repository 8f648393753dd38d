import { generateKeyPairSync } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { problemsOf as problemsIn } from '../test/support/config-problems.ts'
import { type Environment, parseConfig } from './config.ts'

const SECRET = 'x'.repeat(32)
const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const PEM = String(publicKey.export({ type: 'spki', format: 'pem' }))
const JWKS = 'https://issuer.test/keys.json'
const HS = { AUTH_JWT_SECRET: SECRET }

const problemsOf = (env: Environment) => problemsIn(env, { auth: true })

describe('the key for tokens', () => {
  const names = 'AUTH_JWT_SECRET, AUTH_JWT_PUBLIC_KEY, AUTH_JWKS_URL'
  const misfit = (algorithms: string, accepted: string) =>
    `AUTH_ALGORITHMS: "${algorithms}" is not accepted; with this kind of key it takes ${accepted}`

  it.each<[string, Environment, object, string[]]>([
    ['a secret', HS, { kind: 'secret', secret: SECRET }, ['HS256']],
    ['a public key', { AUTH_JWT_PUBLIC_KEY: PEM }, { kind: 'public-key', pem: PEM }, ['RS256', 'ES256']],
    ['published keys', { AUTH_JWKS_URL: JWKS }, { kind: 'jwks', url: JWKS }, ['RS256', 'ES256']],
    [
      'a secret, more bits',
      { ...HS, AUTH_ALGORITHMS: 'HS384, HS512' },
      { kind: 'secret' },
      ['HS384', 'HS512'],
    ],
    ['one algorithm', { AUTH_JWKS_URL: JWKS, AUTH_ALGORITHMS: 'PS256' }, { kind: 'jwks' }, ['PS256']],
  ])('may be %s', (_what, env, key, algorithms) => {
    expect(parseConfig(env, { auth: true }).auth).toMatchObject({ key, algorithms })
  })

  it.each<[string, Environment, string[]]>([
    ['none', {}, [`${names}: none is set; exactly one is needed`]],
    ['two', { ...HS, AUTH_JWKS_URL: JWKS }, [`${names}: several are set; exactly one is needed`]],
    [
      'a secret with an algorithm for public keys',
      { ...HS, AUTH_ALGORITHMS: 'HS256,RS256' },
      [misfit('RS256', 'HS256, HS384, HS512')],
    ],
    [
      'a public key with an algorithm for secrets, which would let anyone sign',
      { AUTH_JWT_PUBLIC_KEY: PEM, AUTH_ALGORITHMS: 'HS256' },
      [misfit('HS256', 'RS*, PS* or ES* algorithms')],
    ],
    [
      'published keys with such a one',
      { AUTH_JWKS_URL: JWKS, AUTH_ALGORITHMS: 'RS256,HS512' },
      [misfit('HS512', 'RS*, PS* or ES* algorithms')],
    ],
    [
      'no secret to sign development tokens with',
      { AUTH_JWKS_URL: JWKS, AUTH_DEV_TOKENS: 'true' },
      ['AUTH_DEV_TOKENS: "true" is not accepted; without AUTH_JWT_SECRET it takes false'],
    ],
  ])('may not be %s', (_what, env, lines) => {
    expect(problemsOf(env)).toEqual(lines)
  })

  it('is not needed by a process that checks no tokens, which then accepts none', () => {
    expect(parseConfig({}, { auth: false }).auth.algorithms).toEqual([])
  })
})
