import { describe, expect, it } from 'vitest'
import { problemsOf } from '../test/support/config-problems.ts'
import { parseConfig } from './config.ts'

const secretOf = (bytes: number) => `whsec_${Buffer.alloc(bytes, 7).toString('base64')}`
const URL = 'https://hooks.example/landfall?token=hidden'

const parse = (env: Record<string, string>) => parseConfig(env, { auth: false })

describe('WEBHOOK_SECRET', () => {
  it.each([' ', ',', ', ', '\n'])('takes several, separated by %j', (separator) => {
    const secrets = [secretOf(24), secretOf(32), secretOf(64)]
    const config = parse({ WEBHOOK_URL: URL, WEBHOOK_SECRET: secrets.join(separator) })
    expect(config.WEBHOOK_SECRET).toEqual(secrets)
  })

  it.each([
    ['no prefix', secretOf(32).slice('whsec_'.length)],
    ['too short', secretOf(23)],
    ['too long', secretOf(65)],
    ['no base64', `whsec_${'!'.repeat(40)}`],
    ['cut off', secretOf(32).slice(0, -2)],
    ['one of two is bad', `${secretOf(32)} whsec_`],
    ['nothing but separators', ' , '],
  ])('is refused, and not repeated: %s', (_what, value) => {
    expect(problemsOf({ WEBHOOK_URL: URL, WEBHOOK_SECRET: value })).toEqual([
      'WEBHOOK_SECRET: its value is not accepted; it takes secrets such as whsec_ and the base64 of 24 to 64 bytes, separated by spaces or commas',
    ])
  })

  it('is required with WEBHOOK_URL, and only then', () => {
    expect(problemsOf({ WEBHOOK_URL: URL })).toEqual([
      'WEBHOOK_SECRET: "" is not accepted; with WEBHOOK_URL it takes a secret to sign with',
    ])
    expect(problemsOf({ WEBHOOK_SECRET: secretOf(32) })).toEqual([])
  })
})

describe('WEBHOOK_URL', () => {
  it.each(['hooks.example', 'ftp://hooks.example/', 'unix:/run/hook'])(
    'is refused, and not repeated: %s',
    (value) => {
      expect(problemsOf({ WEBHOOK_URL: value })).toEqual([
        'WEBHOOK_URL: its value is not accepted; it takes a URL that begins with http:// or https://',
      ])
    },
  )
})

it('addresses that are not public are refused unless it is said otherwise', () => {
  expect(parse({}).WEBHOOK_ALLOW_PRIVATE).toBe(false)
  expect(parse({ WEBHOOK_ALLOW_PRIVATE: 'true' }).WEBHOOK_ALLOW_PRIVATE).toBe(true)
})
