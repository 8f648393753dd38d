import { describe, expect, it } from 'vitest'
import { priorityOf } from './queues.ts'

const MB = 1_000_000
const NOW = Date.UTC(2026, 10, 21)
const seconds = (count: number) => NOW + count * 1000

describe('the order of processing', () => {
  it('lets a short file overtake a long one that has just come', () => {
    expect(priorityOf(1 * MB, seconds(60))).toBeGreaterThan(priorityOf(400 * MB, seconds(0)))
  })
  it('lets nobody be overtaken for ever', () => {
    expect(priorityOf(1 * MB, seconds(401))).toBeLessThan(priorityOf(400 * MB, seconds(0)))
    expect(priorityOf(0, seconds(3601))).toBeLessThan(priorityOf(5_000_000 * MB, seconds(0)))
  })
  it('is first come, first served among equals', () => {
    expect(priorityOf(MB, seconds(0))).toBeGreaterThan(priorityOf(MB, seconds(1)))
  })
  it('fits the queue for decades', () => {
    expect(priorityOf(0, Date.UTC(2090, 0))).toBeGreaterThan(-(2 ** 31))
  })
})
