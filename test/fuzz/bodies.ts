import fc from 'fast-check'
import type { DrawnBody, HeaderLine } from './drawn.ts'
import * as values from './values.ts'

// Bodies and how a request says where they end, truly or not.

const content = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('mp4' as const, 'png' as const, 'jpeg' as const) },
  { weight: 1, arbitrary: fc.constantFrom('text' as const, 'zeros' as const) },
)
const bytes = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(0, 1, 100, 1023, 1024, 4099, 4100, 4500, 4501, 9000, 9001) },
  { weight: 1, arbitrary: fc.nat({ max: 30_000 }) },
)
const trailers = fc.array(
  fc.oneof(
    { weight: 3, arbitrary: values.checksums.map((value): HeaderLine => ['Upload-Checksum', value]) },
    {
      weight: 1,
      arbitrary: fc.tuple(fc.constantFrom('X-A', 'Content-Length', 'Upload-Offset'), values.anyBytes(20)),
    },
  ),
  { maxLength: 2 },
)
const framing: fc.Arbitrary<DrawnBody['framing']> = fc.oneof(
  { weight: 8, arbitrary: fc.constant({ kind: 'length' as const }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('chunked' as const),
      chunk: fc.integer({ min: 1, max: 5000 }),
      trailers,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('wrong-length' as const),
      by: fc.integer({ min: -3000, max: 3000 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('cut-chunks' as const),
      chunk: fc.integer({ min: 1, max: 5000 }),
      at: fc.nat({ max: 9000 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('broken-chunks' as const),
      size: fc.oneof(
        fc.constantFrom(
          '',
          'g',
          '-1',
          'FFFFFFFFFFFFFFFF',
          '10000000000000000',
          '5;x',
          '0x5',
          `5;${'e'.repeat(20_000)}`,
        ),
        values.anyBytes(20),
      ),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'both' as const }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('said' as const),
      headers: fc.oneof(
        values.numbers.map((value): HeaderLine[] => [['Content-Length', value]]),
        fc
          .tuple(values.numbers, values.numbers)
          .map((both): HeaderLine[] => both.map((one) => ['Content-Length', one])),
        fc
          .constantFrom(
            'gzip, chunked',
            'chunked, chunked',
            'identity',
            'chunked, gzip',
            '',
            'xchunked',
            'chunked;a=b',
          )
          .map((value): HeaderLine[] => [['Transfer-Encoding', value]]),
      ),
    }),
  },
)
export const body: fc.Arbitrary<DrawnBody> = fc.record({ content, bytes, framing })
export const noBody: fc.Arbitrary<DrawnBody> = fc.constant({
  content: 'text',
  bytes: 0,
  framing: { kind: 'none' },
})
export const emptyBody: fc.Arbitrary<DrawnBody> = fc.constant({
  content: 'text',
  bytes: 0,
  framing: { kind: 'length' },
})
/** What completes an upload that is empty or half full. */
export const restOf = (left: number): fc.Arbitrary<DrawnBody> =>
  fc.record({ content, bytes: fc.constant(left), framing: fc.constant({ kind: 'length' as const }) })
