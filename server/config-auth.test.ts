import { generateKeyPairSync, type KeyObject } from 'node:crypto'
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
    ['a secret', HS, { kind: 'secret', secrets: [SECRET] }, ['HS256']],
    [
      'a public key',
      { AUTH_JWT_PUBLIC_KEY: PEM },
      { kind: 'public-key', pems: [PEM.trim()] },
      ['RS256', 'ES256'],
    ],
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

  it('may be several secrets, the first to sign with, and what they are as a whole', () => {
    const keyOf = (text: string) => parseConfig({ AUTH_JWT_SECRET: text }, { auth: true }).auth.key
    const [first, second] = ['a'.repeat(32), 'b'.repeat(40)]
    for (const separator of [' ', ',', ', ', '\n']) {
      const text = `${first}${separator}${second}`
      expect(keyOf(text)).toEqual({ kind: 'secret', secrets: [first, second, text] })
    }
    for (const text of [
      `${first} short`,
      `short,${first}`,
      `${first} `,
      'some words that are long enough here',
    ]) {
      expect(keyOf(text)).toEqual({ kind: 'secret', secrets: [text] })
    }
  })

  it('may be as many secrets as each token can be tried with, and no more', () => {
    const secrets = (count: number) => Array.from({ length: count }, (_, i) => `${i}`.repeat(32)).join(' ')
    expect(problemsOf({ AUTH_JWT_SECRET: secrets(8) })).toEqual([])
    expect(problemsOf({ AUTH_JWT_SECRET: secrets(9) })).toHaveLength(1)
    expect(problemsOf({ AUTH_JWT_PUBLIC_KEY: PEM.repeat(8) })).toEqual([])
    expect(problemsOf({ AUTH_JWT_PUBLIC_KEY: PEM.repeat(9) })).toHaveLength(1)
  })

  const weak = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey
  const edwards = generateKeyPairSync('ed25519').publicKey
  const pemOf = (key: KeyObject) => String(key.export({ type: 'spki', format: 'pem' }))
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  it.each<[string, string]>([
    ['an RSA key of 1024 bits', pemOf(weak)],
    ['such a one behind a good one', PEM + pemOf(weak)],
    ['such a one in the form of PKCS #1', String(weak.export({ type: 'pkcs1', format: 'pem' }))],
    ['a key that no accepted algorithm takes', pemOf(edwards)],
    ['a private key', String(privateKey.export({ type: 'pkcs8', format: 'pem' }))],
    ['a private key behind a public one', PEM + String(privateKey.export({ type: 'pkcs8', format: 'pem' }))],
    ['a key that is cut off', PEM.slice(0, -30)],
    ['one that is cut off behind a good one', PEM + PEM.slice(0, -30)],
    ['something else in such a block', PEM.replace(/\n[^-]+\n/, '\nAAAA\n')],
  ])('may not be %s, which one line says', (_what, pem) => {
    expect(problemsOf({ AUTH_JWT_PUBLIC_KEY: pem })).toEqual([
      'AUTH_JWT_PUBLIC_KEY: its value is not accepted; it takes one to 8 public keys in PEM format (EC, or RSA of at least 2048 bits)',
    ])
  })

  it('is not needed by a process that checks no tokens, which then accepts none', () => {
    expect(parseConfig({}, { auth: false }).auth.algorithms).toEqual([])
  })
})
