import { describe, expect, it } from 'vitest'
import { figuresOf, medianFigures, ratiosOf } from './figures.ts'
import type { Figures } from './results.ts'

const plan = { uploads: 4, size: 500e6, requestSize: 500e6, parallel: 2, bytesPerSecond: null }
const reading = {
  report: { seconds: 8, times: { POST: [1, 2, 3, 4], PATCH: [10, 20, 30, 40] }, uploadIds: [] },
  cpuSeconds: 3,
  databaseCpuSeconds: null,
  peakRss: 1e8,
}
const figures = (rate: number, cpu: number | null = 1): Figures => ({
  rate,
  cpu,
  databaseCpu: null,
  peakRss: 100,
  post: { p50: 1, p99: 2 },
  patch: { p50: rate, p99: 2 * rate },
})

describe('the figures of a run', () => {
  it('are by bytes: MB/s and CPU seconds a GB', () => {
    expect(figuresOf('bytes', plan, reading)).toMatchObject({ rate: 250, cpu: 1.5, databaseCpu: null })
  })
  it('are by files: files a second and CPU milliseconds a file', () => {
    expect(figuresOf('files', plan, reading)).toMatchObject({ rate: 0.5, cpu: 750 })
  })
  it('tell POST from PATCH', () => {
    const { post, patch } = figuresOf('bytes', plan, reading)
    expect(post).toEqual({ p50: 2, p99: 4 })
    expect(patch).toEqual({ p50: 20, p99: 40 })
  })
})

describe('several rounds', () => {
  it('have the medians of their figures', () => {
    const rounds = [figures(30), figures(10), figures(20)]
    expect(medianFigures(rounds)).toMatchObject({ rate: 20, cpu: 1, patch: { p50: 20, p99: 40 } })
  })
  it('are compared pair by pair: noise that met both does not show', () => {
    const ours = [figures(50), figures(5), figures(40)]
    const peers = [figures(100), figures(10), figures(80)]
    expect(ratiosOf(ours, peers).rate).toBe(0.5)
  })
  it('are not compared in what the machine does not tell', () => {
    expect(ratiosOf([figures(1, null)], [figures(1, 2)])).toEqual({ rate: 1, cpu: null, peakRss: 1 })
  })
})
