import type { StorageKind } from './cases.ts'
import { ratiosOf } from './figures.ts'
import type { CaseResult } from './results.ts'
import type { PeerName } from './subjects/subject.ts'

/** What Landfall is to reach: a ratio of two figures of one run. */
type Goal = {
  case: string
  storage: StorageKind
  figure: 'rate' | 'cpu'
  /** Whose figure Landfall's is divided by: a peer's in the same case, or its own in another case. */
  over: { peer: PeerName } | { case: string }
  /** The least for a rate, the most for CPU. */
  bound: number
}

const GOALS: readonly Goal[] = [
  { case: 'one-patch', storage: 'disk', figure: 'rate', over: { peer: 'raw' }, bound: 0.9 },
  { case: 'chunks-5m', storage: 'disk', figure: 'rate', over: { peer: 'raw' }, bound: 0.8 },
  { case: 'chunks-5m', storage: 'disk', figure: 'cpu', over: { peer: 'raw' }, bound: 1.3 },
  { case: 'small-files', storage: 'disk', figure: 'rate', over: { peer: 'tusd' }, bound: 1 },
  { case: 'small-files', storage: 'disk', figure: 'rate', over: { peer: 'stock' }, bound: 1 },
  { case: 'one-patch', storage: 's3', figure: 'rate', over: { peer: 'tusd' }, bound: 1 },
  { case: 'chunks-5m', storage: 's3', figure: 'rate', over: { peer: 'tusd' }, bound: 1 },
  { case: 'chunks-16m', storage: 's3', figure: 'rate', over: { peer: 'tusd' }, bound: 1 },
  { case: 'chunks-16m', storage: 's3', figure: 'cpu', over: { case: 'chunks-5m' }, bound: 1 },
]

/** A goal that a run has measured. */
export type MeasuredGoal = { goal: string; ratio: number; isMet: boolean }

/** The goals that can be judged by these cases; the others are left out. */
export function measuredGoals(cases: readonly CaseResult[]): MeasuredGoal[] {
  return GOALS.flatMap((goal) => {
    const ratio = ratioOf(goal, cases)
    if (ratio === null) return []
    const isMet = goal.figure === 'rate' ? ratio >= goal.bound : ratio <= goal.bound
    return [{ goal: inWords(goal), ratio, isMet }]
  })
}

/** A line for a goal that was measured. */
export const goalInWords = ({ goal, ratio, isMet }: MeasuredGoal): string =>
  `goal ${goal}: ${isMet ? 'met' : 'missed'}: ${ratio.toFixed(2)}`

function ratioOf({ storage, figure, over, ...goal }: Goal, cases: readonly CaseResult[]): number | null {
  const resultOf = (name: string) =>
    cases.find((result) => result.name === name && result.storage === storage)
  const result = resultOf(goal.case)
  if ('peer' in over) return result?.ratios[over.peer]?.[figure] ?? null
  const ours = result?.subjects.landfall
  const others = resultOf(over.case)?.subjects.landfall
  return ours && others ? ratiosOf([ours.median], [others.median])[figure] : null
}

function inWords({ storage, figure, over, bound, ...goal }: Goal): string {
  const bounded = figure === 'rate' ? `rate ≥ ${bound}` : `CPU ≤ ${bound}`
  const whose = 'peer' in over ? over.peer : `that of ${over.case}`
  return `${goal.case} on ${storage}, ${bounded} × ${whose}`
}
