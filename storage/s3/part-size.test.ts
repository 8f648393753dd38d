import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { choosePartSize, MAX_PARTS, MIN_PART_BYTES } from './part-size.ts'

const MIB = 1024 * 1024
const plenty = 256 * MIB

describe('the size of parts', () => {
  it.each([
    ['a client’s chunks of 5 MiB', 5 * MIB, 256 * MIB, plenty, 5 * MIB],
    ['a client’s chunks of 64 MiB', 64 * MIB, 256 * MIB, plenty, 64 * MIB],
    ['chunks that are no whole MiB', 6_000_000, 256 * MIB, plenty, 6_000_000],
    ['chunks that are too small', MIB, 256 * MIB, plenty, 8 * MIB],
    ['chunks that are too large', 65 * MIB, 256 * MIB, plenty, 8 * MIB],
    ['a body of unknown length', undefined, 256 * MIB, plenty, 8 * MIB],
    ['a whole file in one body', 50 * MIB, 50 * MIB, plenty, 50 * MIB],
    ['a whole file, where memory is short', 50 * MIB, 50 * MIB, 10 * MIB, 8 * MIB],
    ['a whole file, where memory is very short', 50 * MIB, 50 * MIB, 2 * MIB, 5 * MIB],
    ['chunks, where memory is short', 16 * MIB, 256 * MIB, 2 * MIB, 16 * MIB],
    ['a file that needs larger parts', 5 * MIB, 100_000 * MIB, plenty, 10 * MIB],
  ])('for %s', (_case, bodyLength, size, share, expected) => {
    expect(choosePartSize({ bodyLength, size, isSizeKnown: true, share })).toBe(expected)
  })

  it('does not take a first body for the whole file while the length is unknown', () => {
    expect(choosePartSize({ bodyLength: 50 * MIB, size: 50 * MIB, isSizeKnown: false, share: MIB })).toBe(
      50 * MIB,
    )
  })

  it('is never below what S3 takes, and never makes more parts than it takes', () => {
    fc.assert(
      fc.property(
        fc.option(fc.nat(2 ** 31 - 1), { nil: undefined }),
        fc.integer({ min: 1, max: 5 * 1024 ** 4 }),
        fc.boolean(),
        fc.integer({ min: 1, max: 2 ** 30 }),
        (bodyLength, size, isSizeKnown, share) => {
          const part = choosePartSize({ bodyLength, size, isSizeKnown, share })
          expect(Number.isInteger(part)).toBe(true)
          expect(part).toBeGreaterThanOrEqual(MIN_PART_BYTES)
          expect(Math.ceil(size / part)).toBeLessThanOrEqual(MAX_PARTS)
        },
      ),
    )
  })
})
