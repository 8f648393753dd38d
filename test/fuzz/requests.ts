import fc from 'fast-check'
import { base } from './bases.ts'
import { changed, changes } from './changes.ts'
import type { Drawn, DrawnRequest, HeaderLine } from './drawn.ts'
import { garbage } from './garbage.ts'

// Requests begin as good ones of some protocol; then something about most of them is changed.

const COMMON: readonly HeaderLine[] = [
  ['Host', 'localhost'],
  ['Authorization', 'Bearer {token}'],
]

const CLOSE: HeaderLine = ['Connection', 'close']

const request: fc.Arbitrary<DrawnRequest> = fc
  .record({
    base,
    changes,
    isClosing: fc.boolean(),
    pieces: fc.oneof(
      { weight: 4, arbitrary: fc.constant(1) },
      { weight: 1, arbitrary: fc.integer({ min: 2, max: 40 }) },
    ),
    end: fc.constantFrom('finish' as const, 'reset' as const),
  })
  .map(({ base, changes, isClosing, pieces, end }) => ({
    kind: 'request',
    ...changed({ ...base, headers: [...COMMON, ...(isClosing ? [CLOSE] : []), ...base.headers] }, changes),
    pieces,
    end,
  }))

export const drawn: fc.Arbitrary<Drawn> = fc.oneof(
  { weight: 12, arbitrary: request },
  { weight: 1, arbitrary: garbage },
)
