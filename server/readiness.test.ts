import { describe, expect, it } from 'vitest'
import type { Ledger } from '../ledger/database.ts'
import type { Objects } from '../storage/objects.ts'
import { asctime, fakeClamd } from '../test/support/fake-clamd.ts'
import { signaturesOf } from './clamd-link.ts'
import { createReadiness, oldSignaturesWarning, TEST_SIGNATURES_WARNING } from './readiness.ts'

const DAY_MS = 86_400_000

async function report(version: string) {
  await using clamd = await fakeClamd(version)
  return await createReadiness({
    db: {} as Ledger,
    objects: { checkWritable: async () => {} } as unknown as Objects,
    clamd: { host: '127.0.0.1', port: clamd.port },
  }).check()
}

describe('the signatures of clamd', () => {
  it('are told with their age', async () => {
    const published = new Date(Math.floor((Date.now() - 1.5 * DAY_MS) / 1000) * 1000)
    const { checks, warnings } = await report(`ClamAV 1.4.3/27780/${asctime(published)}`)
    expect(checks.scanner).toEqual({
      status: 'ok',
      signatures: { version: 27780, publishedAt: published.toISOString(), ageDays: 1.5 },
    })
    expect(warnings).toEqual([])
  })

  it('are warned of when they are old', async () => {
    const { warnings } = await report(`ClamAV 1.4.3/27000/${asctime(new Date(Date.now() - 30.2 * DAY_MS))}`)
    expect(warnings).toEqual([oldSignaturesWarning(30)])
  })

  it('have no age where they are for tests only', async () => {
    const { checks, warnings } = await report('ClamAV 1.4.3')
    expect(checks.scanner).toEqual({ status: 'ok' })
    expect(warnings).toEqual([TEST_SIGNATURES_WARNING])
  })

  it.each([
    'ClamAV 1.4.3',
    'ClamAV 1.4.3/27780/',
    'ClamAV 1.4.3/27780/some day',
    'ClamAV 1.4.3/x/Fri Nov 20 08:24:11 2026',
  ])('are not known from %j', (version) => {
    expect(signaturesOf(version)).toBeUndefined()
  })
})
