import { describe, expect, it } from 'vitest'
import { prefixOf } from './url-prefix.ts'

describe('a prefix', () => {
  it.each([
    [['/up'], '/up'],
    [['/up/'], '/up'],
    [['/a', '/b/c'], '/a/b/c'],
    [['/a,b'], '/a%2Cb'],
    [['/'], ''],
    [[], ''],
    [["/a-b_c.d~e!$&'()*+;=:@%20"], "/a-b_c.d~e!$&'()*+;=:@%20"],
  ])('of %j is a path', (parts, prefix) => {
    expect(prefixOf(parts)).toBe(prefix)
  })

  it.each([
    'up',
    '//evil.example',
    '/a//b',
    '/..',
    '/a/../b',
    '/a/.%2E/b',
    '/%2e%2E',
    '/./a',
    '/a?b',
    '/a#b',
    '/a\\b',
    '/a b',
    '/"><script>',
    "/'><b>",
    '/a\r\nb',
    '/\u00e9',
    `/${'a'.repeat(256)}`,
  ])('is none as %j', (part) => {
    expect(prefixOf([part])).toBeUndefined()
  })
})
