import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Environment } from './config.ts'
import { developmentEnvironment } from './development.ts'

const SECRET = 'x'.repeat(32)
let DATA_DIR: string

beforeAll(async () => {
  DATA_DIR = await mkdtemp(join(tmpdir(), 'landfall-development-'))
})
afterAll(() => rm(DATA_DIR, { recursive: true, force: true }))

const developed = (env: Environment) => developmentEnvironment({ DATA_DIR, ...env })

describe('what npm start makes up', () => {
  it('is a secret, the same at every start, and development tokens', async () => {
    const first = await developed({})
    expect(first.AUTH_DEV_TOKENS).toBe('true')
    expect(first.AUTH_JWT_SECRET).toMatch(/^[\w-]{43}$/)
    expect(await developed({})).toEqual(first)
  })

  it.each<Environment>([
    { AUTH_DEV_SCOPES: 'admin' },
    { PUBLIC_URL: '', TRUST_PROXY: '', AUTH_ISSUER: '' },
    { HOST: 'localhost' },
    { HOST: '::1' },
  ])('has development tokens with %j', async (env) => {
    expect((await developed(env)).AUTH_DEV_TOKENS).toBe('true')
  })

  it.each<Environment>([
    { AUTH_JWT_SECRET: SECRET },
    { AUTH_JWT_PUBLIC_KEY: 'a key' },
    { AUTH_JWKS_URL: 'https://issuer.test/keys' },
    { AUTH_ISSUER: 'https://issuer.test' },
    { AUTH_AUDIENCE: 'landfall' },
    { AUTH_ALGORITHMS: 'HS256' },
    { AUTH_CLOCK_TOLERANCE: '1s' },
    { AUTH_TENANT: 'off' },
    { AUTH_JWT_SECRETS: 'misspelt' },
    { PUBLIC_URL: 'https://uploads.test' },
    { TRUST_PROXY: 'loopback' },
    { TRUST_PROXY: 'false' },
    { HOST: '0.0.0.0' },
    { NODE_ENV: 'production' },
  ])('has no development tokens with %j', async (env) => {
    const made = await developed(env)
    expect(made.AUTH_DEV_TOKENS).toBeUndefined()
    expect(made).toMatchObject(env)
  })

  it('leaves the decision to an operator who has taken one', async () => {
    expect((await developed({ AUTH_DEV_TOKENS: 'false' })).AUTH_DEV_TOKENS).toBe('false')
    const both = await developed({ AUTH_DEV_TOKENS: 'true', PUBLIC_URL: 'https://uploads.test' })
    expect(both.AUTH_DEV_TOKENS).toBe('true')
  })
})
