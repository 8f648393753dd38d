import { Counter, Gauge, type Registry } from 'prom-client'
import type { Appends } from '../admission/appends.ts'

/** What this node receives, and what it has refused to. */
export function watchAppends(register: Registry, appends: Appends): void {
  const registers = [register]
  new Gauge({
    name: 'landfall_appends_running',
    help: 'Requests that bring bytes of uploads to this process.',
    registers,
    collect() {
      this.set(appends.running)
    },
  })
  new Gauge({
    name: 'landfall_appends_most',
    help: 'As many of them as this process takes at a time.',
    registers,
  }).set(appends.most)
  new Counter({
    name: 'landfall_appends_refused_total',
    help: 'Requests with bytes that were refused because there were as many already, of all owners or of theirs.',
    registers,
    collect() {
      this.reset()
      this.inc(appends.refused)
    },
  })
}
