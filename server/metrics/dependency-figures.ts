import type { Readiness } from '../health/readiness.ts'
import type { Collector } from './collector.ts'
import { gauge } from './instruments.ts'

/** The result of `/readyz`, for alerts, including `degraded`, which answers 200. */
export function dependencyCollector(readiness: Pick<Readiness, 'check'>): Collector {
  return {
    name: 'dependencies',
    async collect(register) {
      const { status, checks } = await readiness.check()
      const isReady = status === 'ready' || status === 'degraded'
      gauge(register, 'landfall_ready', '1 if requests can be sent to this server.').set(isReady ? 1 : 0)
      const help = '1 if a dependency of this server is available.'
      const up = gauge(register, 'landfall_dependency_up', help, 'dependency')
      for (const [dependency, check] of Object.entries(checks))
        if (check.status !== 'off') up.set({ dependency }, check.status === 'ok' ? 1 : 0)
    },
  }
}
