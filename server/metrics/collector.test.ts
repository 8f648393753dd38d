import { Gauge, type Registry } from 'prom-client'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { CachedFigures, COLLECT_MS } from './collector.ts'

const KEPT_MS = 5_000

describe('the figures of a collector', () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  /** Figures whose collector does this, how often it did, and what went wrong. */
  function figuresOf(work: (register: Registry, turn: number) => Promise<void>) {
    const errors: unknown[] = []
    let turns = 0
    const figures = new CachedFigures(
      { name: 'test', collect: async (register) => await work(register, ++turns) },
      (_name, error) => errors.push(error),
    )
    return { figures, errors, turns: () => turns }
  }

  const setGauge = async (register: Registry, turn: number) =>
    new Gauge({ name: 'turn', help: 'The turn.', registers: [register] }).set(turn)

  it('are kept for a while, and then asked for again', async () => {
    const { figures, turns } = figuresOf(setGauge)
    expect(await figures.text()).toContain('\nturn 1\n')
    await vi.advanceTimersByTimeAsync(KEPT_MS - 1)
    expect(await figures.text()).toContain('\nturn 1\n')
    await vi.advanceTimersByTimeAsync(1)
    expect(await figures.text()).toContain('\nturn 2\n')
    expect(turns()).toBe(2)
  })

  it('are all missing where it fails halfway, and are there again when it does not', async () => {
    const { figures, errors, turns } = figuresOf(async (register, turn) => {
      await setGauge(register, turn)
      if (turn === 1) throw new Error('away')
    })
    expect(await figures.text()).toBe('')
    // An outage is not asked about any oftener.
    expect(await figures.text()).toBe('')
    expect([turns(), errors.length]).toEqual([1, 1])
    await vi.advanceTimersByTimeAsync(KEPT_MS)
    expect(await figures.text()).toContain('\nturn 2\n')
  })

  it('are missing where it takes too long, and it is not asked again before it has answered', async () => {
    const answer = Promise.withResolvers<void>()
    const { figures, errors, turns } = figuresOf(async (register, turn) => {
      if (turn === 1) await answer.promise
      await setGauge(register, turn)
    })
    const first = figures.text()
    await vi.advanceTimersByTimeAsync(COLLECT_MS)
    expect(await first).toBe('')
    await vi.advanceTimersByTimeAsync(KEPT_MS)
    expect(await figures.text()).toBe('')
    expect([turns(), errors.length]).toEqual([1, 2])
    answer.resolve()
    await vi.advanceTimersByTimeAsync(KEPT_MS)
    expect(await figures.text()).toContain('\nturn 2\n')
  })

  it('leave no timer behind', async () => {
    const { figures } = figuresOf(setGauge)
    await figures.text()
    expect(vi.getTimerCount()).toBe(0)
  })
})
