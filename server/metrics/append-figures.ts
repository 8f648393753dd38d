import { Counter, Gauge, type Registry } from 'prom-client'
import type { Appends } from '../admission/appends.ts'
import { gauge } from './instruments.ts'

/** What this node receives and has refused. */
export function watchAppends(register: Registry, appends: Appends): void {
  const registers = [register]
  new Gauge({
    name: 'landfall_appends_running',
    help: 'Running requests with bytes of uploads.',
    registers,
    collect() {
      this.set(appends.running)
    },
  })
  gauge(register, 'landfall_appends_most', 'Maximum number of concurrent requests with bytes.').set(
    appends.most,
  )
  new Counter({
    name: 'landfall_appends_refused_total',
    help: 'Requests with bytes that were refused at the maximum of the process or of their owner.',
    registers,
    collect() {
      this.reset()
      this.inc(appends.refused)
    },
  })
}
