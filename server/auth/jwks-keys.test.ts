import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { JwksKeys } from './jwks-keys.ts'

const published = new Map<string, object>()
const publish = (kid: string) => {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  published.set(kid, { ...publicKey.export({ format: 'jwk' }), kid, alg: 'ES256', use: 'sig' })
}
const issuer = createServer((_request, response) => {
  response.setHeader('Content-Type', 'application/json')
  response.end(JSON.stringify({ keys: [...published.values()] }))
}).listen(0, '127.0.0.1')
beforeAll(async () => void (issuer.listening || (await once(issuer, 'listening'))))
afterAll(() => void issuer.close())

it('gives a key that has just been published to every token that asks for it at once', async () => {
  publish('old')
  const keys = new JwksKeys(`http://127.0.0.1:${(issuer.address() as AddressInfo).port}/`)
  expect(await keys.find('old')).toBeDefined()
  publish('new')
  const found = await Promise.all(['new', 'new', 'new', 'new'].map((kid) => keys.find(kid)))
  expect(found.map((key) => key !== undefined)).toEqual([true, true, true, true])
})

it('takes public keys for signatures only, and leaves out whatever else is published', async () => {
  const ofKind = (kid: string) => ({ ...published.get(kid), kid })
  publish('good')
  publish('for-encryption')
  published.set('for-encryption', { ...ofKind('for-encryption'), use: 'enc' })
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  published.set('private', { ...privateKey.export({ format: 'jwk' }), kid: 'private' })
  published.set('secret', { kty: 'oct', k: 'c2VjcmV0', kid: 'secret' })
  published.set('broken', { kty: 'EC', crv: 'P-256', x: 7, y: null, kid: 'broken' })
  published.set('unknown', { kty: 'new', kid: 'unknown' })
  const keys = new JwksKeys(`http://127.0.0.1:${(issuer.address() as AddressInfo).port}/`)
  expect((await keys.find('good'))?.type).toBe('public')
  for (const kid of ['for-encryption', 'private', 'secret', 'broken', 'unknown'])
    expect(await keys.find(kid), kid).toBeUndefined()
})
