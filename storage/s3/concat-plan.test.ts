import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type PlannedPart, planConcat } from './concat-plan.ts'

const MIB = 1024 * 1024
const MIN = 5 * MIB
const MAX = 128 * MIB

const bytesOf = (part: PlannedPart) =>
  (part.kind === 'copy' ? [part.range] : part.ranges).reduce(
    (sum, { start, end }) => sum + end - start + 1,
    0,
  )
const kinds = (sizes: number[]) => planConcat(sizes, MAX).map(({ kind }) => kind)

describe('the parts of a concatenation', () => {
  it.each<[string, number[], string[]]>([
    ['large ones are copied, the last may be small', [6 * MIB, 5 * MIB, 1], ['copy', 'copy', 'copy']],
    ['nothing at all', [], []],
    ['empty ones have no part', [0, 6 * MIB, 0], ['copy']],
    ['all of it is smaller than a part', [10, 20], ['join']],
    ['one small one is copied whole', [10], ['copy']],
    ['a small one is joined with the beginning of the next', [MIB, 20 * MIB], ['join', 'copy']],
    ['and what is left of that with what follows', [MIB, 5 * MIB, 20 * MIB], ['join', 'join', 'copy']],
    ['one above the most is several', [300 * MIB], ['copy', 'copy', 'copy']],
  ])('%s', (_, sizes, expected) => {
    expect(kinds(sizes)).toEqual(expected)
  })

  it('is complete, in order, and of parts that S3 takes, whatever the sizes', () => {
    const size = fc.oneof(
      fc.integer({ min: 0, max: 12 * MIB }),
      fc.constantFrom(0, 1, MIN - 1, MIN, MIN + 1, MAX - 1, MAX, MAX + 1, MAX + MIN - 1, 400 * MIB),
    )
    fc.assert(
      fc.property(fc.array(size, { maxLength: 12 }), (sizes) => {
        const plan = planConcat(sizes, MAX)
        const ranges = plan.flatMap((part) => (part.kind === 'copy' ? [part.range] : part.ranges))
        let at = { source: 0, byte: 0 }
        for (const { source, start, end } of ranges) {
          while (at.byte === sizes[at.source] && at.source < source) at = { source: at.source + 1, byte: 0 }
          expect({ source, byte: start }).toEqual(at)
          at.byte = end + 1
        }
        expect(plan.reduce((sum, part) => sum + bytesOf(part), 0)).toBe(sizes.reduce((sum, n) => sum + n, 0))
        for (const [index, part] of plan.entries()) {
          if (index < plan.length - 1) expect(bytesOf(part)).toBeGreaterThanOrEqual(MIN)
          expect(bytesOf(part)).toBeLessThanOrEqual(MAX)
          // AWS takes a range only of what is larger than 5 MiB.
          if (part.kind === 'copy' && (sizes[part.range.source] ?? 0) <= MIN)
            expect(bytesOf(part)).toBe(sizes[part.range.source])
        }
      }),
      { numRuns: 500 },
    )
  })
})
