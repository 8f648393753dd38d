import { describe, expect, it } from 'vitest'
import { retryDelayMs, SCHEDULE_MS } from './schedule.ts'

describe('the retries of a delivery', () => {
  const exact = { random: () => 0 }

  it('come later and later, ten of them, and then no more', () => {
    const delays = Array.from({ length: 11 }, (_, i) => retryDelayMs(i + 1, undefined, exact))
    const seconds = [5, 30, 120, 600, 1800, 3600, 7200, 18_000, 36_000, 86_400]
    expect(delays).toEqual([...seconds.map((s) => s * 1000), undefined])
  })

  it('are spread, never before their time and at most by a fifth', () => {
    for (const base of SCHEDULE_MS) {
      const delays = Array.from({ length: 100 }, () => retryDelayMs(SCHEDULE_MS.indexOf(base) + 1, undefined))
      for (const delay of delays) {
        expect(delay).toBeGreaterThanOrEqual(base)
        expect(delay).toBeLessThanOrEqual(base * 1.2)
      }
      expect(new Set(delays).size).toBeGreaterThan(50)
    }
  })

  it('do not come before the receiver wants them, nor all at once because it wants them soon', () => {
    expect(retryDelayMs(1, 60_000, exact)).toBe(60_000)
    expect(retryDelayMs(1, 0, exact)).toBe(5000)
    expect(retryDelayMs(11, 60_000, exact)).toBeUndefined()
  })
})
