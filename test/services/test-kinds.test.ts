import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { isIntegrationTest, servicesOf, testFilesIn } from './test-kinds.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const scripts = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).scripts as Record<string, string>

describe('a test file', () => {
  it.each(['content/names.test.ts', 'server/config.test.ts', 'test/import-rules.test.ts'])(
    'that imports no service is a unit test: %s',
    (file) => {
      expect(isIntegrationTest(file)).toBe(false)
      expect(servicesOf([file])).toEqual({ postgres: false, ceph: false })
    },
  )

  it.each([
    // By a helper, by what it asks of the machine, and by itself.
    ['test/quota.test.ts', { postgres: true, ceph: true }],
    ['ledger/leases.test.ts', { postgres: true, ceph: false }],
    ['test/auth.test.ts', { postgres: true, ceph: false }],
    ['test/downloads.test.ts', { postgres: true, ceph: true }],
    ['test/services/ceph.test.ts', { postgres: true, ceph: true }],
  ])('is an integration test where it takes one: %s', (file, services) => {
    expect(isIntegrationTest(file)).toBe(true)
    expect(servicesOf([file, 'content/names.test.ts'])).toEqual(services)
  })

  it('that takes seconds says so by its name, and gets no service for that', () => {
    const file = 'processing/scrubbing/hostile-packets.slow.test.ts'
    expect(isIntegrationTest(file)).toBe(true)
    expect(servicesOf([file]).postgres).toBe(false)
  })

  it('is of either kind in dozens', () => {
    const files = testFilesIn(['ledger', 'server', 'storage', 'processing', 'test'])
    const integration = files.filter(isIntegrationTest)
    expect(integration.length).toBeGreaterThan(80)
    expect(files.length - integration.length).toBeGreaterThan(40)
  })
})

it('every kind has a script, and all of them run with npm test', () => {
  expect(scripts['test:unit']).toBe('bash scripts/test.sh --project unit')
  expect(scripts['test:integration']).toBe('bash scripts/test.sh --project integration --project timed')
  expect(scripts.test).toBe('bash scripts/test.sh')
})
