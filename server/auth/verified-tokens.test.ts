import jwt from 'jsonwebtoken'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { OwnerId } from '../../ledger/ids.ts'
import { parseConfig } from '../config.ts'
import { VerifiedTokens } from './verified-tokens.ts'
import { createVerifier } from './verifier.ts'

const SECRET = 'a-secret-of-a-test-that-is-long-enough'
const NOON = new Date('2026-06-01T12:00:00Z')
const AT_ONE = NOON.getTime() / 1000 + 3600

const principal = { ownerId: 'alice' as OwnerId, tenantId: null, scopes: new Set<string>() }
const verified = { principal, endsAt: AT_ONE, kid: 'a', key: 'key a' }

beforeEach(() => void vi.useFakeTimers({ now: NOON, toFake: ['Date'] }))
afterEach(() => void vi.useRealTimers())

describe('a token that was verified', () => {
  it('is known for as long as it is valid, and not before it was', async () => {
    const tokens = new VerifiedTokens(async () => ['key b', 'key a'])
    tokens.add('t', verified)
    expect(await tokens.find('t')).toBe(principal)
    expect(await tokens.find('another')).toBeUndefined()
    vi.setSystemTime(AT_ONE * 1000 - 1)
    expect(await tokens.find('t')).toBe(principal)
    vi.setSystemTime(AT_ONE * 1000)
    expect(await tokens.find('t')).toBeUndefined()

    vi.setSystemTime(NOON)
    tokens.add('t', verified)
    vi.setSystemTime(NOON.getTime() - 1)
    expect(await tokens.find('t')).toBeUndefined()
  })

  it('is not known any more when its key is withdrawn', async () => {
    let keys = ['key a', 'key b']
    const tokens = new VerifiedTokens(async () => keys)
    tokens.add('t', verified)
    keys = ['key b']
    expect(await tokens.find('t')).toBeUndefined()
    keys = ['key a']
    expect(await tokens.find('t')).toBeUndefined()
  })

  it('makes room for others when it was not used for a long time', async () => {
    const tokens = new VerifiedTokens(async () => ['key a'])
    for (let i = 0; i < 1000; i += 1) tokens.add(`t${i}`, verified)
    expect(await tokens.find('t0')).toBe(principal)
    tokens.add('one more', verified)
    expect(await tokens.find('t0')).toBe(principal)
    expect(await tokens.find('t1')).toBeUndefined()
    tokens.add('x'.repeat(5000), verified)
    expect(await tokens.find('x'.repeat(5000))).toBeUndefined()
  })
})

describe('a verifier', () => {
  it('answers the same the second time, until the token has expired', async () => {
    const env = { AUTH_JWT_SECRET: SECRET, AUTH_CLOCK_TOLERANCE: '5s' }
    const verify = createVerifier(parseConfig(env, { auth: true }))
    const token = jwt.sign({ scope: 'admin' }, SECRET, { subject: 'alice', expiresIn: 60 })
    const first = await verify(token)
    expect(first).toEqual({ ownerId: 'alice', tenantId: null, scopes: new Set(['admin']) })
    expect(await verify(token)).toBe(first)
    vi.setSystemTime(NOON.getTime() + 64_999)
    expect(await verify(token)).toBe(first)
    vi.setSystemTime(NOON.getTime() + 65_000)
    await expect(verify(token)).rejects.toMatchObject({ code: 'token-expired' })
    await expect(verify(`${token.slice(0, -2)}AA`)).rejects.toMatchObject({ code: 'token-invalid' })
  })
})
