import { collectDefaultMetrics, Registry } from 'prom-client'
import { expect, it } from 'vitest'
import { parseFigures } from '../../test/support/prometheus.ts'
import { watchProcess } from './process-figures.ts'

const samplesOf = async (register: Registry) => parseFigures(await register.metrics()).samples
const seesEventLoop = async (register: Registry) =>
  (await samplesOf(register)).has('nodejs_eventloop_lag_max_seconds')

it('tells how the process is doing', async () => {
  const register = new Registry()
  const stop = watchProcess(register)
  try {
    await expect
      .poll(async () => (await samplesOf(register)).get('nodejs_eventloop_lag_p99_seconds'))
      .toBeGreaterThan(0)
    const samples = await samplesOf(register)
    expect(samples.get('process_cpu_seconds_total')).toBeGreaterThan(0)
    expect(samples.get('process_resident_memory_bytes')).toBeGreaterThan(10_000_000)
    expect(samples.get('process_open_fds')).toBeGreaterThan(2)
    expect(samples.get('process_max_fds')).toBeGreaterThan(2)
    const started = samples.get('process_start_time_seconds') ?? 0
    expect(Math.abs(Date.now() / 1000 - process.uptime() - started)).toBeLessThan(2)
  } finally {
    stop()
  }
})

it('collects what prom-client does, but for the garbage collector and the handles that Node does not document', () => {
  const register = new Registry()
  watchProcess(register)()
  const theirs = new Registry()
  collectDefaultMetrics({ register: theirs })
  const namesOf = (of: Registry) => of.getMetricsAsArray().map(({ name }) => name)
  const left = /^nodejs_(gc_duration_seconds|active_(handles|requests)(_total)?)$/
  expect(namesOf(register).toSorted()).toEqual(
    namesOf(theirs)
      .filter((name) => !left.test(name))
      .toSorted(),
  )
})

it('tells nothing of the event loop where it was collected a moment ago', async () => {
  const register = new Registry()
  const stop = watchProcess(register)
  try {
    await register.metrics()
    const text = await register.metrics()
    expect(text).not.toMatch(/nan|e\+/i)
  } finally {
    stop()
  }
})

it('watches nothing any more once it is stopped', async () => {
  const stopped = new Registry()
  const watched = new Registry()
  const stop = watchProcess(stopped)
  const stopOther = watchProcess(watched)
  try {
    await expect.poll(() => seesEventLoop(stopped)).toBe(true)
    stop()
    // Forgets what was seen before.
    for (const register of [stopped, watched]) await register.metrics()
    await expect.poll(() => seesEventLoop(watched)).toBe(true)
    expect(await seesEventLoop(stopped)).toBe(false)
  } finally {
    stopOther()
  }
})
