import type { KillReport } from './kills.ts'
import type { Stage } from './stage.ts'

/** How many kills hit each step, and where in it. */
export function summaryOf(reports: readonly KillReport[]): string {
  const byStep = Map.groupBy(reports, ({ kill }) => kill.step)
  return [...byStep]
    .map(([step, kills]) => {
      const counts = Map.groupBy(kills, ({ kill, isLate }) => (isLate ? 'too late' : kill.moment))
      const parts = [...counts].sort().map(([what, list]) => `${list.length} ${what}`)
      return `${step}: ${kills.filter(({ isLate }) => !isLate).length} kills (${parts.join(', ')})`
    })
    .join('\n')
}

/** With what the workers said last, where the work fails. */
export async function withLog<T>(stage: Stage, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    const what = error instanceof Error ? error.message : String(error)
    throw new Error(`${what}\n${stage.crew.log()}`, { cause: error })
  }
}
