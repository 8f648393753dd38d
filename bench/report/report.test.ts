import { describe, expect, it } from 'vitest'
import { planInWords } from '../client/plan-in-words.ts'
import type { CaseResult, Figures, Ratios, Results } from '../results.ts'
import { renderChart } from './chart.ts'
import { renderDocument } from './document.ts'
import { alignedText, headOf, markdownTable, number, rowsOf } from './table.ts'

const figures: Figures = {
  rate: 123.4,
  cpu: 2.345,
  databaseCpu: null,
  peakRss: 150e6,
  post: { p50: 1, p99: 2 },
  patch: { p50: 10, p99: 20 },
}
const subject = (perOperation: number) => ({
  rounds: [figures],
  median: figures,
  calls: { operations: 10, perOperation, byKind: { HeadObject: 1, UploadPart: perOperation - 1 } },
})
const result: CaseResult = {
  name: 'chunks-5m',
  title: '256 MiB in chunks of 5 MiB <"&">',
  per: 'bytes',
  operation: 'PATCH',
  storage: 's3',
  plan: { uploads: 1, size: 1, requestSize: 1, parallel: 1, bytesPerSecond: null },
  subjects: { stock: subject(5), landfall: subject(2) },
  failures: {},
  ratios: { stock: { rate: 1.5, cpu: 0.5, peakRss: 2 } },
}
const results: Results = {
  date: '2025-01-02T03:04:05.000Z',
  machine: { cpu: 'Z80', cores: 1, memoryBytes: 64e9, system: 'CP/M', node: 'v24.0.0', filesystem: 'ext4' },
  versions: { landfall: '1.0.0' },
  cases: [result],
  skipped: [],
}

describe('the table', () => {
  it('has a cell for every column, and a row of ratios', () => {
    const rows = rowsOf(result)
    for (const row of rows) expect(row).toHaveLength(headOf(result).length)
    expect(rows[2]).toEqual(['Landfall / stock', '1.50×', '0.50×', '', '2.00×', '', '', '', '', '0.40×'])
  })
  it('has a row of ratios for each of the others', () => {
    const subjects = { stock: subject(5), tusd: subject(4), landfall: subject(2) }
    const ratios = { ...result.ratios, tusd: { rate: 0.9, cpu: null, peakRss: 3 } }
    const rows = rowsOf({ ...result, subjects, ratios })
    expect(rows.map(([name]) => name)).toEqual([
      'stock',
      'tusd',
      'Landfall',
      'Landfall / stock',
      'Landfall / tusd',
    ])
    expect(rows.at(-1)?.filter(Boolean)).toEqual(['Landfall / tusd', '0.90×', '–', '3.00×', '0.50×'])
  })
  it('has no ratios where Landfall ran alone', () => {
    const alone = { ...result, subjects: { landfall: subject(2) }, ratios: {} }
    expect(rowsOf(alone).map(([name]) => name)).toEqual(['Landfall'])
  })
  it('is aligned as text', () => {
    const rows = [
      ['', 'MB/s'],
      ['stock', '9'],
    ]
    expect(alignedText(rows)).toBe('       MB/s\nstock     9\n')
  })
  it('is a table of Markdown', () => {
    expect(markdownTable(['', 'MB/s'], [['stock', '9']])).toBe('|  | MB/s |\n| --- | ---: |\n| stock | 9 |\n')
  })
  it('keeps three digits', () => {
    expect([1.234, 12.34, 123.4, null].map(number)).toEqual(['1.23', '12.3', '123', '–'])
  })
})

describe('the chart', () => {
  const xOf = (stock: Ratios) =>
    [...renderChart([{ ...result, ratios: { stock } }]).matchAll(/<rect class="(\w+)"/g)].map(
      ([, side]) => side,
    )

  it('puts better to the right: faster, but less CPU, memory and calls', () => {
    expect(xOf({ rate: 1.5, cpu: 0.5, peakRss: 2 })).toEqual(['better', 'better', 'worse', 'better'])
  })
  it('leaves out what is not known', () => {
    expect(xOf({ rate: 0.9, cpu: null, peakRss: null })).toEqual(['worse', 'better'])
  })
  it('stays well formed whatever a title says', () => {
    expect(renderChart([result])).toContain('5 MiB &lt;&quot;&amp;&quot;>, S3')
  })
})

describe('the page', () => {
  it('tells the figures, the calls by kind, the machine and the day', () => {
    const text = renderDocument(results)
    expect(text).toContain('| stock | 123 | 2.35 | – | 150 | 1.00 | 2.00 | 10.0 | 20.0 | 5.00 |')
    expect(text).toContain('S3 calls a PATCH: stock 4.00 UploadPart, 1.00 HeadObject; Landfall')
    expect(text).toContain('Z80, 1 cores, 64 GB')
    expect(text).toContain('- 2025-01-02\n')
    expect(text).not.toContain('Left out')
  })
  it('says who did not get through a case', () => {
    const failed = { ...result, subjects: {}, failures: { stock: 'silence' }, ratios: {} }
    expect(renderDocument({ ...results, cases: [failed] })).toContain('\nstock failed: silence.\n')
  })
  it('says which goals were met, where there are any', () => {
    expect(renderDocument(results)).not.toContain('## Goals')
    const reached = { ...result, ratios: { tusd: { rate: 1.25, cpu: 1, peakRss: 1 } } }
    const text = renderDocument({ ...results, cases: [reached] })
    expect(text).toContain('## Goals\n\n| Goal | Ratio |  |\n')
    expect(text).toContain('| chunks-5m on s3, rate ≥ 1 × tusd | 1.25 | met |\n')
  })
  it('says what was left out', () => {
    expect(renderDocument({ ...results, skipped: ['no Ceph'] })).toContain('## Left out\n\n- no Ceph\n')
  })
})

describe('a plan in words', () => {
  const plan = { uploads: 1, size: 1024 ** 3, requestSize: 1024 ** 3, parallel: 1, bytesPerSecond: null }

  it('says how the bytes travel', () => {
    expect(planInWords(plan)).toBe('1 GiB in one PATCH')
    expect(planInWords({ ...plan, requestSize: 5 * 1024 ** 2 })).toBe('1 GiB in chunks of 5 MiB')
    expect(planInWords({ ...plan, uploads: 9, size: 10_000, parallel: 3 })).toBe(
      '9 files of 10 KB, 3 at once',
    )
    expect(planInWords({ ...plan, uploads: 9, size: 5e9, parallel: 9, bytesPerSecond: 4e5 })).toBe(
      '9 files of 5 GB, at once, 400 KB/s each',
    )
  })
})
