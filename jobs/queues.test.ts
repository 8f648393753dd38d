import { describe, expect, it } from 'vitest'
import { priorityOf, turnOf } from './queues.ts'

const YEAR_MS = 365 * 86_400_000

describe('priorities', () => {
  it('put the earlier turn first, to the second', () => {
    expect(priorityOf(1_000)).toBeGreaterThan(priorityOf(2_000))
    expect(priorityOf(1_000)).toBe(priorityOf(1_900))
    expect(turnOf(priorityOf(5_400))).toBe(5_000)
  })
  it('fit the queue for decades, and make equals of all behind that', () => {
    expect(priorityOf(60 * YEAR_MS)).toBeGreaterThan(-(2 ** 31))
    expect(priorityOf(600 * YEAR_MS)).toBe(-(2 ** 31))
  })
})
