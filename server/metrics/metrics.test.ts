import { Gauge, type Registry } from 'prom-client'
import { afterEach, expect, it } from 'vitest'
import { parseFigures } from '../../test/support/prometheus.ts'
import { createLog } from '../process/log.ts'
import { type Metrics, openMetrics } from './metrics.ts'

const log = createLog({ level: 'silent', name: 'test' })
const opened: Metrics[] = []

afterEach(() => {
  for (const metrics of opened.splice(0)) metrics.close()
})

function open(collectors: Record<string, (register: Registry) => Promise<void>>): Metrics {
  const metrics = openMetrics({
    collectors: Object.entries(collectors).map(([name, collect]) => ({ name, collect })),
    log,
  })
  opened.push(metrics)
  return metrics
}

const setGauge = (name: string) => async (register: Registry) =>
  new Gauge({ name, help: 'A figure.', registers: [register] }).set(1)

it('counts a collector that fails, and tells what the others know', async () => {
  const metrics = open({
    good: setGauge('good'),
    bad: async () => {
      throw new Error('away')
    },
  })
  const { families, samples } = parseFigures(await metrics.text())
  expect(families).toContain('good')
  expect(samples.get('landfall_scrape_errors_total{collector="good"}')).toBe(0)
  expect(samples.get('landfall_scrape_errors_total{collector="bad"}')).toBe(1)
})

it('asks a collector once for all who want to know at the same time', async () => {
  let asked = 0
  const answer = Promise.withResolvers<void>()
  const metrics = open({
    slow: async (register) => {
      asked++
      await answer.promise
      await setGauge('slow')(register)
    },
  })
  const scrapes = [metrics.text(), metrics.text(), metrics.text()]
  answer.resolve()
  const texts = await Promise.all(scrapes)
  expect(asked).toBe(1)
  expect(new Set(texts).size).toBe(1)
  expect(parseFigures(await metrics.text()).families).toContain('slow')
})
