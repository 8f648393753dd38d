import type { CaseResult, Figures, Latency, Ratios } from '../results.ts'
import type { RivalName, SubjectName } from '../subjects/subject.ts'

const NAMES: Record<SubjectName, string> = {
  stock: 'stock',
  raw: 'raw',
  tusd: 'tusd',
  before: 'before',
  landfall: 'Landfall',
}
const NOTHING = '–'

/** The heads of the columns of a case. */
export function headOf({ per, operation, storage }: CaseResult): string[] {
  const units = per === 'bytes' ? ['MB/s', 'CPU s/GB'] : ['files/s', 'CPU ms/file']
  const calls = storage === 's3' ? [`S3 calls/${operation}`] : []
  return ['', ...units, 'PostgreSQL CPU', 'peak MB', 'POST ms p50', 'p99', 'PATCH ms p50', 'p99', ...calls]
}

/** One row a subject, then one of Landfall's ratios to each of the others. */
export function rowsOf(result: CaseResult): string[][] {
  const { subjects, ratios, storage } = result
  const rows = Object.entries(subjects).map(([name, subject]) => {
    const calls = storage === 's3' ? [number(subject.calls?.perOperation ?? null)] : []
    return [NAMES[name as SubjectName], ...figureCells(subject.median), ...calls]
  })
  const compared = Object.entries(ratios).map(([name, ratio]) => ratioRow(result, name as RivalName, ratio))
  return [...rows, ...compared]
}

/** A line for every subject that did not get through a case. */
export function failuresInWords({ failures }: CaseResult): string[] {
  return Object.entries(failures).map(([name, why]) => `${NAMES[name as SubjectName]} failed: ${why}`)
}

/** Calls per operation by kind, of every subject that they were counted of. */
export function callsInWords({ subjects }: CaseResult): string[] {
  return Object.entries(subjects).flatMap(([name, { calls }]) => {
    const kinds = Object.entries(calls?.byKind ?? {}).toSorted(([, a], [, b]) => b - a)
    const counts = kinds.map(([kind, count]) => `${number(count)} ${kind}`)
    return counts.length > 0 ? [`${NAMES[name as SubjectName]} ${counts.join(', ')}`] : []
  })
}

/** Rows as text in columns; the first is aligned left, the others right. */
export function alignedText(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? '').length)),
  )
  const line = (row: readonly string[]) =>
    row
      .map((cell, column) => {
        const width = widths[column] ?? 0
        return column === 0 ? cell.padEnd(width) : cell.padStart(width)
      })
      .join('  ')
      .trimEnd()
  return rows.map((row) => `${line(row)}\n`).join('')
}

/** Rows as a table of Markdown; the first row is its head. */
export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |\n`
  const rule = head.map((_, column) => (column === 0 ? '---' : '---:'))
  return [head, rule, ...rows].map(line).join('')
}

/** Three digits at least, so that small figures can still be compared. */
export function number(value: number | null): string {
  if (value === null || Number.isNaN(value)) return NOTHING
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2
  return value.toFixed(digits)
}

function figureCells({ rate, cpu, databaseCpu, peakRss, post, patch }: Figures): string[] {
  const latency = ({ p50, p99 }: Latency) => [number(p50), number(p99)]
  const megabytes = peakRss === null ? null : peakRss / 1e6
  return [...[rate, cpu, databaseCpu, megabytes].map(number), ...latency(post), ...latency(patch)]
}

function ratioRow(
  { subjects, storage }: CaseResult,
  rival: RivalName,
  { rate, cpu, peakRss }: Ratios,
): string[] {
  const cell = (ratio: number | null) => (ratio === null ? NOTHING : `${ratio.toFixed(2)}×`)
  const ours = subjects.landfall?.calls?.perOperation
  const theirs = subjects[rival]?.calls?.perOperation
  const calls = storage === 's3' ? [cell(ours && theirs ? ours / theirs : null)] : []
  return [`Landfall / ${NAMES[rival]}`, cell(rate), cell(cpu), '', cell(peakRss), '', '', '', '', ...calls]
}
