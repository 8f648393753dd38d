import { Counter, Gauge, type Registry } from 'prom-client'

export type ConnectionFigures = {
  /** Sets how connections are counted. */
  watch(count: () => Promise<number>): void
  countRefused(): void
}

/** Number of client connections, and of those refused by the limit. */
export function connectionFigures(register: Registry): ConnectionFigures {
  const registers = [register]
  let count = async () => 0
  new Gauge({
    name: 'landfall_connections',
    help: 'Open client connections.',
    registers,
    async collect() {
      this.set(await count())
    },
  })
  const refused = new Counter({
    name: 'landfall_connections_refused_total',
    help: 'Connections that were refused because of MAX_CONNECTIONS.',
    registers,
  })
  return {
    watch(source) {
      count = source
    },
    countRefused: () => refused.inc(),
  }
}
