import { Gauge } from 'prom-client'
import type { Readiness } from '../health/readiness.ts'
import type { Collector } from './collector.ts'

/** The result of `/readyz`, for alerts, including `degraded`, which answers 200. */
export function dependencyCollector(readiness: Pick<Readiness, 'check'>): Collector {
  return {
    name: 'dependencies',
    async collect(register) {
      const registers = [register]
      const { status, checks } = await readiness.check()
      const isReady = status === 'ready' || status === 'degraded'
      new Gauge({
        name: 'landfall_ready',
        help: '1 if requests can be sent to this server.',
        registers,
      }).set(isReady ? 1 : 0)
      const up = new Gauge({
        name: 'landfall_dependency_up',
        help: '1 if a dependency of this server is available.',
        labelNames: ['dependency'],
        registers,
      })
      for (const [dependency, check] of Object.entries(checks))
        if (check.status !== 'off') up.set({ dependency }, check.status === 'ok' ? 1 : 0)
    },
  }
}
