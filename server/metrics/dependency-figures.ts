import { Gauge } from 'prom-client'
import type { Readiness } from '../health/readiness.ts'
import type { Collector } from './collector.ts'

/** What `/readyz` says, for alerts: also what is `degraded` and answers 200. */
export function dependencyCollector(readiness: Pick<Readiness, 'check'>): Collector {
  return {
    name: 'dependencies',
    async collect(register) {
      const registers = [register]
      const { status, checks } = await readiness.check()
      const isReady = status === 'ready' || status === 'degraded'
      new Gauge({
        name: 'landfall_ready',
        help: 'Whether this server can be sent requests.',
        registers,
      }).set(isReady ? 1 : 0)
      const up = new Gauge({
        name: 'landfall_dependency_up',
        help: 'Whether what the server needs works, as it finds.',
        labelNames: ['dependency'],
        registers,
      })
      for (const [dependency, check] of Object.entries(checks))
        if (check.status !== 'off') up.set({ dependency }, check.status === 'ok' ? 1 : 0)
    },
  }
}
