import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import jwt from 'jsonwebtoken'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Landfall, startLandfall } from './support/landfall.ts'

const FORGED = 200

const rsa = () => generateKeyPairSync('rsa', { modulusLength: 2048 })

function sign(key: KeyObject, keyid: string): string {
  return jwt.sign({ sub: 'alice' }, key, { algorithm: 'RS256', expiresIn: '1h', keyid })
}

describe('a flood of tokens under invented key ids', () => {
  const pair = rsa()
  const stranger = rsa()
  let issuer: Server
  let asked = 0
  let landfall: Landfall

  beforeAll(async () => {
    const keys = [{ ...pair.publicKey.export({ format: 'jwk' }), kid: 'known', use: 'sig' }]
    issuer = createServer((_request, response) => {
      asked += 1
      response.setHeader('Content-Type', 'application/json')
      response.end(JSON.stringify({ keys }))
    })
    issuer.listen(0, '127.0.0.1')
    await once(issuer, 'listening')
    const { port } = issuer.address() as AddressInfo
    landfall = await startLandfall({
      withoutWorker: true,
      env: { AUTH_JWT_SECRET: '', AUTH_JWKS_URL: `http://127.0.0.1:${port}/keys.json` },
    })
  })
  afterAll(async () => {
    await landfall?.close()
    issuer?.closeAllConnections()
    issuer?.close()
  })

  async function statusWith(token: string): Promise<number> {
    const answer = await fetch(`${landfall.url}/api/v1/quota`, {
      headers: { Authorization: `Bearer ${token}` },
    })
    await answer.body?.cancel()
    return answer.status
  }

  // A server that has just started knows no key yet: the flood may be the first that it sees.
  it.each(['from the start', 'later on'])(
    'stops no valid token, and bothers the issuer little, %s',
    async () => {
      const before = asked
      const answers = await Promise.all(
        Array.from({ length: FORGED }, async (_, index) => ({
          forged: await statusWith(sign(stranger.privateKey, `invented-${index}`)),
          valid: index % 10 === 0 ? await statusWith(sign(pair.privateKey, 'known')) : 200,
        })),
      )
      expect(answers).toEqual(answers.map(() => ({ forged: 401, valid: 200 })))
      expect(await statusWith(sign(pair.privateKey, 'known'))).toBe(200)
      // Once for the keys, and once more in case an unknown one is new.
      expect(asked - before).toBeLessThanOrEqual(2)
    },
  )
})
