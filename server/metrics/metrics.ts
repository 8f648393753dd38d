import { Registry } from 'prom-client'
import type { Log } from '../process/log.ts'
import { CachedFigures, type Collector } from './collector.ts'
import { counter } from './instruments.ts'
import { watchProcess } from './process-figures.ts'

export type Metrics = {
  /** For metrics of this process. */
  register: Registry
  /** Counts bytes of files that have arrived from clients. */
  countBytes(bytes: number): void
  /** All metrics in the text format of Prometheus. Never fails; takes two seconds at most. */
  text(): Promise<string>
  close(): void
}

/** Watches this process, and asks the collectors in each scrape. The caller closes it. */
export function openMetrics(options: { collectors: readonly Collector[]; log: Log }): Metrics {
  const register = new Registry()
  const stopWatching = watchProcess(register)
  const received = counter(register, 'landfall_received_bytes_total', 'Received bytes of files, kept or not.')
  const failed = 'Collections of metrics that failed.'
  const errors = counter(register, 'landfall_scrape_errors_total', failed, 'collector')
  for (const { name } of options.collectors) errors.inc({ collector: name }, 0)
  const kept = options.collectors.map(
    (collector) =>
      new CachedFigures(collector, (name, error) => {
        errors.inc({ collector: name })
        options.log.warn({ collector: name, err: error }, 'metrics could not be collected')
      }),
  )

  async function scrape(): Promise<string> {
    const collected = await Promise.all(kept.map((figures) => figures.text()))
    // Last, as it counts failures.
    const own = await register.metrics()
    return [own, ...collected.filter((text) => text !== '')].join('\n')
  }

  let running: Promise<string> | undefined
  return {
    register,
    countBytes: (bytes) => received.inc(bytes),
    text() {
      running ??= scrape().finally(() => {
        running = undefined
      })
      return running
    },
    close: stopWatching,
  }
}
