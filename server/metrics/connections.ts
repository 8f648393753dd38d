import { Gauge, type Registry } from 'prom-client'
import { counter } from './instruments.ts'

/** Number of client connections, and of those refused by the limit. `watch` sets how connections are counted. */
export function connectionFigures(register: Registry) {
  let count = async () => 0
  new Gauge({
    name: 'landfall_connections',
    help: 'Open client connections.',
    registers: [register],
    async collect() {
      this.set(await count())
    },
  })
  const help = 'Connections that were refused because of MAX_CONNECTIONS.'
  const refused = counter(register, 'landfall_connections_refused_total', help)
  return {
    watch(source: () => Promise<number>): void {
      count = source
    },
    countRefused: () => refused.inc(),
  }
}
