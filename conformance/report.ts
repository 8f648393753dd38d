import type { Clause, Level } from './kit/clause.ts'
import type { Result } from './run.ts'

/** What it is called when a requirement of this level is not met. */
const UNMET = { MUST: 'failed', SHOULD: 'warning', MAY: 'note', ADVICE: 'note' } as const satisfies Record<
  Level,
  string
>

export type Verdict = 'passed' | 'skipped' | (typeof UNMET)[Level]

export function verdictOf({ outcome, row: { clause } }: Result): Verdict {
  if (outcome !== 'failed') return outcome
  return clause.level === 'MUST' && clause.isOfSomeDrafts ? 'warning' : UNMET[clause.level]
}

/** A failure of the run: of what is only recommended, allowed or advised, doing otherwise is none. */
export const isFailure = (result: Result): boolean => verdictOf(result) === 'failed'

const wordFor = (result: Result) => (isFailure(result) ? 'FAILED' : verdictOf(result))

const INDENT = ' '.repeat(19)

/** Why it is asked for. */
function sourceOf({ quote, basis, isOfSomeDrafts }: Clause): string {
  if (basis === 'experience') return `(advice: ${quote})`
  return isOfSomeDrafts ? `("${quote}", which not all drafts of this interop version say)` : `("${quote}")`
}

/** The lines of a section, as a table; one line when all of it is skipped for one reason. */
export function sectionText(title: string, results: readonly Result[]): string {
  const reasons = new Set(results.map((result) => (result.outcome === 'skipped' ? result.reason : undefined)))
  const [reason] = reasons
  if (reasons.size === 1 && reason !== undefined) return `${title}\n  ${results.length} skipped: ${reason}\n`
  const width = Math.max(...results.map(({ row }) => row.id.length))
  const lines = results.map((result) => {
    const { row } = result
    const reason = result.outcome === 'passed' ? '' : `\n${INDENT}${result.reason}`
    const quote = result.outcome === 'failed' ? `\n${INDENT}${sourceOf(row.clause)}` : ''
    return `  ${wordFor(result).padEnd(8)} ${row.clause.level.padEnd(7)} ${row.id.padEnd(width)}  ${row.requirement}${reason}${quote}\n`
  })
  return `${title}\n${lines.join('')}`
}

/** What it comes to; the last line is for machines as well. */
export function closingText(results: readonly Result[]): string {
  const count = (verdict: Verdict) => results.filter((result) => verdictOf(result) === verdict).length
  const [warnings, notes] = [count('warning'), count('note')]
  const lines = [
    ...(warnings === 0
      ? []
      : [`${warnings} warnings: recommended, or asked for by some drafts, and done otherwise`]),
    ...(notes === 0 ? [] : [`${notes} notes: optional or advised, and done otherwise`]),
    `${count('passed')} passed, ${count('failed')} failed, ${count('skipped')} skipped`,
  ]
  return `${lines.join('\n')}\n`
}

/** For programs: what a row is and what came of it. */
export const plain = (result: Result) => {
  const { id, protocol, requirement, clause } = result.row
  const { standard, section, level, basis, quote, isOfSomeDrafts = false } = clause
  return {
    ...{ id, protocol, standard, section, level, basis, isOfSomeDrafts, quote, requirement },
    outcome: verdictOf(result),
    ...(result.outcome === 'passed' ? {} : { reason: result.reason }),
  }
}
