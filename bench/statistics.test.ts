import { describe, expect, it } from 'vitest'
import { median, medianOfKnown, percentile } from './statistics.ts'

describe('the median', () => {
  it('is the middle value, whatever the order', () => expect(median([9, 1, 5])).toBe(5))
  it('lies between the two middle values of an even number', () => expect(median([4, 1, 2, 9])).toBe(3))
  it('of none is no number', () => expect(median([])).toBeNaN())
  it('is unknown when a value is', () => {
    expect(medianOfKnown([1, null, 3])).toBeNull()
    expect(medianOfKnown([])).toBeNull()
    expect(medianOfKnown([1, 3])).toBe(2)
  })
})

describe('a percentile', () => {
  const hundred = Array.from({ length: 100 }, (_, index) => 100 - index)

  it('is the value that so many do not exceed', () => {
    expect(percentile(hundred, 50)).toBe(50)
    expect(percentile(hundred, 99)).toBe(99)
    expect(percentile(hundred, 100)).toBe(100)
  })
  it('of one value is that value', () => expect(percentile([7], 99)).toBe(7))
  it('of none is no number', () => expect(percentile([], 50)).toBeNaN())
})
