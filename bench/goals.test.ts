import { describe, expect, it } from 'vitest'
import type { StorageKind } from './cases.ts'
import { goalInWords, measuredGoals } from './goals.ts'
import type { CaseResult, Figures, Ratios } from './results.ts'

const figures = (cpu: number | null): Figures => ({
  rate: 100,
  cpu,
  databaseCpu: null,
  peakRss: 1,
  post: { p50: 1, p99: 1 },
  patch: { p50: 1, p99: 1 },
})
const over = (rate: number, cpu: number | null = 1): Ratios => ({ rate, cpu, peakRss: 1 })

function result(
  name: string,
  storage: StorageKind,
  ratios: CaseResult['ratios'],
  cpu: number | null = 1,
): CaseResult {
  const landfall = { rounds: [figures(cpu)], median: figures(cpu), calls: null }
  const plan = { uploads: 1, size: 1, requestSize: 1, parallel: 1, bytesPerSecond: null }
  const words = { title: name, per: 'bytes', operation: 'PATCH' } as const
  return { ...words, name, storage, plan, subjects: { landfall }, failures: {}, ratios }
}

const linesOf = (...cases: CaseResult[]) => measuredGoals(cases).map(goalInWords)

describe('the goals of a run', () => {
  it('are a least rate and a most CPU, over a peer of the same case', () => {
    expect(linesOf(result('chunks-5m', 'disk', { raw: over(0.8, 1.31) }))).toEqual([
      'goal chunks-5m on disk, rate ≥ 0.8 × raw: met: 0.80',
      'goal chunks-5m on disk, CPU ≤ 1.3 × raw: missed: 1.31',
    ])
    expect(linesOf(result('one-patch', 'disk', { raw: over(0.899) }))[0]).toContain('missed: 0.90')
  })

  it('are over each peer that has a goal', () => {
    const ratios = { stock: over(1.2), raw: over(0.3), tusd: over(0.9) }
    expect(linesOf(result('small-files', 'disk', ratios))).toEqual([
      'goal small-files on disk, rate ≥ 1 × tusd: missed: 0.90',
      'goal small-files on disk, rate ≥ 1 × stock: met: 1.20',
    ])
  })

  it('on S3 are over tusd, and over Landfall itself in another case', () => {
    const chunks5 = result('chunks-5m', 's3', { tusd: over(1.1) }, 3)
    const chunks16 = result('chunks-16m', 's3', { tusd: over(1) }, 6)
    expect(linesOf(chunks5, chunks16)).toEqual([
      'goal chunks-5m on s3, rate ≥ 1 × tusd: met: 1.10',
      'goal chunks-16m on s3, rate ≥ 1 × tusd: met: 1.00',
      'goal chunks-16m on s3, CPU ≤ 1 × that of chunks-5m: missed: 2.00',
    ])
  })

  it('are left out where a case, a peer or a figure is missing', () => {
    expect(linesOf(result('one-patch', 'disk', { stock: over(1) }))).toEqual([])
    expect(linesOf(result('chunks-16m', 's3', {}))).toEqual([])
    expect(linesOf(result('chunks-5m', 's3', {}, null), result('chunks-16m', 's3', {}, null))).toEqual([])
    expect(linesOf(result('chunks-5m', 'disk', { raw: over(1, null) }))).toHaveLength(1)
  })
})
