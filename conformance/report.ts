import type { Result } from './run.ts'

/** A failure of the run: of what is only recommended or allowed, doing otherwise is a warning. */
export const isFailure = ({ outcome, row }: Result) => outcome === 'failed' && row.level === 'MUST'
const isWarning = ({ outcome, row }: Result) => outcome === 'failed' && row.level !== 'MUST'

const wordFor = (result: Result) =>
  isFailure(result) ? 'FAILED' : isWarning(result) ? 'warning' : result.outcome

/** The lines of a section, as a table; one line when all of it is skipped for one reason. */
export function sectionText(title: string, results: readonly Result[]): string {
  const reasons = new Set(results.map((result) => (result.outcome === 'skipped' ? result.reason : undefined)))
  const [reason] = reasons
  if (reasons.size === 1 && reason !== undefined) return `${title}\n  ${results.length} skipped: ${reason}\n`
  const width = Math.max(...results.map(({ row }) => row.id.length))
  const lines = results.map((result) => {
    const { row } = result
    const reason = result.outcome === 'passed' ? '' : `\n${' '.repeat(19)}${result.reason}`
    return `  ${wordFor(result).padEnd(8)} ${row.level.padEnd(7)} ${row.id.padEnd(width)}  ${row.requirement}${reason}\n`
  })
  return `${title}\n${lines.join('')}`
}

/** What it comes to; the last line is for machines as well. */
export function closingText(results: readonly Result[]): string {
  const count = (isCounted: (result: Result) => boolean) => results.filter(isCounted).length
  const passed = count(({ outcome }) => outcome === 'passed')
  const skipped = count(({ outcome }) => outcome === 'skipped')
  const warnings = count(isWarning)
  const warned = warnings === 0 ? '' : `${warnings} warnings: recommended or allowed, and done otherwise\n`
  return `${warned}${passed} passed, ${count(isFailure)} failed, ${skipped} skipped\n`
}

/** For programs: what a row is and what came of it. */
export const plain = (result: Result) => ({
  id: result.row.id,
  protocol: result.row.protocol,
  section: result.row.section,
  level: result.row.level,
  requirement: result.row.requirement,
  outcome: isWarning(result) ? 'warning' : result.outcome,
  ...(result.outcome === 'passed' ? {} : { reason: result.reason }),
})
