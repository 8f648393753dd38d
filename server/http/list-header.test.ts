import { describe, expect, it } from 'vitest'
import { listElements, mediaTypeOf, singleElement } from './list-header.ts'

describe('the elements of a list header', () => {
  it.each<[string, string | string[] | undefined, string[]]>([
    ['an absent header', undefined, []],
    ['an empty header', '', []],
    ['blanks only', ' \t ', []],
    ['commas only', ' , ,\t,', []],
    ['one element', 'a', ['a']],
    ['blanks around commas', ' a ,\tb , c', ['a', 'b', 'c']],
    ['empty elements', ',a,,b', ['a', 'b']],
    ['a comma at the end', 'a, b,', ['a', 'b']],
    ['repeated lines', ['a,', 'b c', ''], ['a', 'b c']],
    [
      'commas in quoted strings',
      'for="[::1], x";proto=http, for="a\\", b"',
      ['for="[::1], x";proto=http', 'for="a\\", b"'],
    ],
    ['an open quotation', 'a, "b, c', ['a', '"b, c']],
  ])('of %s', (_what, header, elements) => {
    expect(listElements(header)).toEqual(elements)
  })

  it('are found in little time, however blank the header is', () => {
    const startedAt = performance.now()
    listElements(`a${' '.repeat(60_000)}b${',\t'.repeat(30_000)}"${'\\'.repeat(60_000)}`)
    expect(performance.now() - startedAt).toBeLessThan(500)
  })
})

describe('the value of a header that takes one', () => {
  it.each([
    [undefined, undefined],
    [' , ', undefined],
    ['a,', { value: 'a' }],
    ['a, a', { value: 'a' }],
    [['a', 'a'], { value: 'a' }],
    ['a, b', 'several'],
  ] as const)('%j is %j', (header, value) => {
    expect(singleElement(header)).toEqual(value)
  })
})

it.each([
  ['Application/Offset+Octet-Stream', 'application/offset+octet-stream'],
  ['text/plain ; charset=utf-8', 'text/plain'],
  ['', ''],
  [undefined, undefined],
])('the media type of %j is %j', (header, type) => {
  expect(mediaTypeOf(header)).toBe(type)
})
