import fc from 'fast-check'
import { expect, it } from 'vitest'
import { namePattern } from './name-pattern.ts'

it('takes every character for itself', () => {
  expect(namePattern('a.B')).toBe('[aA]\\.[Bb]')
  expect(namePattern('100%_\\')).toBe('100\\%\\_\\\\')
  expect(namePattern('Straße Ä')).toBe('[Ss][tT][rR][aA]ß[eE] [Ää]')
})

it('finds a text in what contains it, in either case', () => {
  fc.assert(
    fc.property(fc.string({ minLength: 1, unit: 'grapheme-ascii' }), (text) => {
      const found = new RegExp(namePattern(text))
      expect(found.test(`x${text}y`)).toBe(true)
      expect(found.test(`x${text.toUpperCase()}y`)).toBe(true)
    }),
  )
})
