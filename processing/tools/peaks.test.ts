import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { PeakMeter } from './peaks.ts'

function measure(samples: number[], options: { most: number; expected: number }, cut = samples.length) {
  const meter = new PeakMeter(options)
  meter.add(Int8Array.from(samples.slice(0, cut)))
  meter.add(Int8Array.from(samples.slice(cut)))
  return meter.read()
}

describe('a peak meter', () => {
  it('gives the lowest and the highest sample of each stretch, and of what is left', () => {
    expect(measure([1, -2, 3, 4, -128, 127, 5], { most: 4, expected: 8 })).toEqual({
      samplesPerPeak: 2,
      pairs: [-2, 1, 3, 4, -128, 127, 5, 5],
    })
  })

  it('gives nothing of nothing', () => {
    expect(measure([], { most: 4, expected: 8 })).toBeUndefined()
  })

  it('has no more pairs than it may, and misses no peak, however many samples come in whatever pieces', () => {
    const sample = fc.integer({ min: -128, max: 127 })
    fc.assert(
      fc.property(
        fc.array(sample, { minLength: 1, maxLength: 300 }),
        fc.nat(40),
        fc.nat(300),
        (all, expected, cut) => {
          const peaks = measure(all, { most: 8, expected }, cut)
          const { samplesPerPeak, pairs } = peaks ?? { samplesPerPeak: 0, pairs: [] }
          expect(pairs.length).toBe(Math.ceil(all.length / samplesPerPeak) * 2)
          expect(pairs.length).toBeLessThanOrEqual(16)
          for (let n = 0; n < pairs.length / 2; n++) {
            const stretch = all.slice(n * samplesPerPeak, (n + 1) * samplesPerPeak)
            expect(pairs.slice(n * 2, n * 2 + 2)).toEqual([Math.min(...stretch), Math.max(...stretch)])
          }
        },
      ),
    )
  })
})
