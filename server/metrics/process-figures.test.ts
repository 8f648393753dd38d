import { setTimeout as sleep } from 'node:timers/promises'
import { collectDefaultMetrics, Registry } from 'prom-client'
import { expect, it } from 'vitest'
import { parseFigures } from '../../test/support/prometheus.ts'
import { watchProcess } from './process-figures.ts'

const figuresOf = async (register: Registry) => parseFigures(await register.metrics())

it('tells how the process is doing', async () => {
  const register = new Registry()
  const stop = watchProcess(register)
  try {
    await sleep(100)
    const { samples } = await figuresOf(register)
    expect(samples.get('process_cpu_seconds_total')).toBeGreaterThan(0)
    expect(samples.get('process_resident_memory_bytes')).toBeGreaterThan(10_000_000)
    expect(samples.get('process_open_fds')).toBeGreaterThan(2)
    expect(samples.get('process_max_fds')).toBeGreaterThan(2)
    expect(samples.get('nodejs_eventloop_lag_p99_seconds')).toBeGreaterThan(0)
    const started = samples.get('process_start_time_seconds') ?? 0
    expect(Math.abs(Date.now() / 1000 - process.uptime() - started)).toBeLessThan(2)
  } finally {
    stop()
  }
})

it('uses names that prom-client uses', async () => {
  const register = new Registry()
  watchProcess(register)()
  const theirs = new Registry()
  collectDefaultMetrics({ register: theirs })
  const known = theirs.getMetricsAsArray().map(({ name }) => name)
  expect(register.getMetricsAsArray().map(({ name }) => name)).toSatisfy((names: string[]) =>
    names.every((name) => known.includes(name)),
  )
})

it('watches nothing any more once it is stopped', async () => {
  const stopped = new Registry()
  const watched = new Registry()
  const stop = watchProcess(stopped)
  const stopOther = watchProcess(watched)
  try {
    stop()
    // Forgets what was seen before.
    for (const register of [stopped, watched]) await register.metrics()
    await sleep(100)
    const sees = async (register: Registry) =>
      (await figuresOf(register)).samples.has('nodejs_eventloop_lag_max_seconds')
    expect([await sees(stopped), await sees(watched)]).toEqual([false, true])
  } finally {
    stopOther()
  }
})
