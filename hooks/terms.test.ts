import { describe, expect, it } from 'vitest'
import { readAcceptedTypes } from '../content/accepted-types.ts'
import { bothTerms } from './terms.ts'

describe('both terms of an upload', () => {
  it.each([
    [{}, {}, {}],
    [{ maxSize: 5 }, { maxSize: 3 }, { maxSize: 3 }],
    [{ maxSize: 5 }, {}, { maxSize: 5 }],
    [{ types: 'image/png' }, {}, { types: 'image/png' }],
    [{}, { types: 'image/png' }, { types: 'image/png' }],
    [{ types: 'image/*' }, { types: 'image/png,video/mp4' }, { types: 'image/png' }],
    [{ types: 'text/*' }, { types: 'text/csv,application/pdf' }, { types: 'text/csv' }],
    // One that a later release does not know is no reason to forget the other.
    [{ types: 'image/imaginary' }, { types: 'image/png' }, { types: 'image/png' }],
    [{ types: 'image/png' }, { types: 'image/imaginary' }, { types: 'image/png' }],
    [
      { until: '2026-01-02T00:00:00Z' },
      { until: '2026-01-01T00:00:00Z', maxSize: 1 },
      { until: '2026-01-01T00:00:00Z', maxSize: 1 },
    ],
  ])('%j and %j are %j', (one, other, both) => {
    expect(bothTerms(one, other)).toEqual(both)
    expect(bothTerms(other, one)).toEqual(both)
  })

  it('that have no type in common refuse every file', () => {
    expect(() => bothTerms({ types: 'image/*' }, { types: 'video/*' })).toThrow('No type of file')
  })

  it.each([
    ['*/*', '*/*'],
    ['image/*,application/pdf', 'image/*,application/*'],
    ['audio/*', 'audio/*,video/*'],
    ['application/*', 'application/*'],
    ['*/*', 'text/*,video/mp4'],
  ])('of %s and %s are read as they are written', (one, other) => {
    const { types = '' } = bothTerms({ types: one }, { types: other })
    expect(bothTerms({ types }, { types: one }).types).toBe(types)
    expect(bothTerms({ types }, { types: other }).types).toBe(types)
    expect(readAcceptedTypes(types)).toBeDefined()
  })
})
