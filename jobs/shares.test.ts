import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { groupOf, Shares } from './shares.ts'

const MB = 1_000_000

describe('the shares of a worker’s slots', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }))
  afterEach(() => void vi.useRealTimers())

  it('are all but one for the long files of an owner', () => {
    const shares = new Shares(3)
    expect(shares.atOnce).toBe(2)
    shares.take(1, groupOf('alice', 500 * MB).id)
    expect([shares.full(), shares.atOnce]).toEqual([[], 1])
    shares.take(2, groupOf('alice', 500 * MB).id)
    shares.take(3, groupOf('alice', MB).id)
    expect([shares.full(), shares.atOnce]).toEqual([['long:alice'], 2])
    shares.giveBack(1)
    expect(shares.full()).toEqual([])
  })

  it('count what was said to be short and is not', () => {
    const shares = new Shares(2)
    shares.take(1, groupOf('mallory', MB).id)
    shares.take(2, groupOf('mallory', MB).id)
    expect(shares.full()).toEqual([])
    vi.advanceTimersByTime(60_000)
    shares.giveBack(1)
    expect(shares.full()).toEqual(['long:mallory', 'short:mallory'])
    shares.giveBack(2)
    expect(shares.full()).toEqual([])
    shares.take(3, groupOf('mallory', MB).id)
    expect(shares.full()).toEqual(['long:mallory', 'short:mallory'])
    vi.advanceTimersByTime(1_000)
    shares.giveBack(3)
    shares.take(4, groupOf('mallory', MB).id)
    expect(shares.full()).toEqual([])
  })

  it('are everything where there is one slot, and for jobs of no known owner', () => {
    const one = new Shares(1)
    expect(one.atOnce).toBe(1)
    one.take(1, groupOf('alice', 500 * MB).id)
    expect(one.full()).toEqual([])
    const two = new Shares(2)
    two.take(1, null)
    two.take(2, undefined)
    expect(two.full()).toEqual([])
  })
})
