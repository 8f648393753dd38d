import { describe, expect, it } from 'vitest'
import { problemsOf } from '../test/support/config-problems.ts'
import { type Environment, parseConfig } from './config.ts'

const SECRET = `whsec_${Buffer.alloc(32, 1).toString('base64')}`
const SETTINGS = {
  ANALYSIS: 'gate',
  ANALYSIS_URL: 'http://engine.internal/analyse',
  ANALYSIS_SECRET: SECRET,
  PUBLIC_URL: 'https://uploads.example',
}

const read = (env: Environment) => parseConfig(env, { auth: false })

describe('the settings of an analysis', () => {
  it('are off, and complete where they are not', () => {
    expect(read({})).toMatchObject({ ANALYSIS: 'off', ANALYSIS_TIMEOUT: 3_600_000 })
    expect(read(SETTINGS)).toMatchObject({ ANALYSIS: 'gate', ANALYSIS_SECRET: [SECRET] })
  })

  it.each(['ANALYSIS_URL', 'ANALYSIS_SECRET', 'PUBLIC_URL'])('need %s', (name) => {
    const problems = problemsOf({ ...SETTINGS, [name]: '' })
    expect(problems).toHaveLength(1)
    expect(problems[0]).toMatch(new RegExp(`^${name}: "" is not accepted; with ANALYSIS=gate it takes`))
    expect(problemsOf({ ...SETTINGS, [name]: '', ANALYSIS: 'off' })).toEqual([])
  })

  it.each([
    ['ANALYSIS', 'on'],
    ['ANALYSIS_URL', 'engine.internal'],
    ['ANALYSIS_SECRET', 'secret'],
    ['ANALYSIS_TIMEOUT', '0s'],
  ])('do not take %s=%s', (name, value) => {
    expect(problemsOf({ ...SETTINGS, [name]: value })[0]).toMatch(new RegExp(`^${name}: .* is not accepted`))
  })

  it('are not repeated where they are secret', () => {
    expect(problemsOf({ ...SETTINGS, ANALYSIS_SECRET: 'not-a-secret' }).join()).not.toContain('not-a-secret')
  })
})

describe('the limits of a worker', () => {
  it.each([
    ['decode=4', { decode: 4 }],
    ['scan=1, decode=64 ,analysis=2,transcoding=3', { scan: 1, decode: 64, analysis: 2, transcoding: 3 }],
  ])('%s', (text, limits) => {
    expect(read({ WORKER_LIMITS: text }).WORKER_LIMITS).toEqual(limits)
  })

  it.each(['decode', 'decode=0', 'decode=65', 'decode=4,decode=4', 'publish=2', 'decode=4,', 'decode=4.5'])(
    'are not %s',
    (text) => {
      expect(problemsOf({ WORKER_LIMITS: text })).toHaveLength(1)
    },
  )
})
