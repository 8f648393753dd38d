import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, expect, it } from 'vitest'
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
afterAll(() => void issuer.close())

it('gives a key that has just been published to every token that asks for it at once', async () => {
  if (!issuer.listening) await once(issuer, 'listening')
  publish('old')
  const keys = new JwksKeys(`http://127.0.0.1:${(issuer.address() as AddressInfo).port}/`)
  expect(await keys.find('old')).toMatch(/BEGIN PUBLIC KEY/)
  publish('new')
  const found = await Promise.all(['new', 'new', 'new', 'new'].map((kid) => keys.find(kid)))
  expect(found.map((key) => key !== undefined)).toEqual([true, true, true, true])
})
