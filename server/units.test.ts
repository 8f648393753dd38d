import { describe, expect, it } from 'vitest'
import { parseDuration, parseSize } from './units.ts'

describe('a size', () => {
  it.each([
    ['0', 0],
    ['1048576', 1_048_576],
    ['1b', 1],
    ['1KB', 1000],
    ['500MB', 500_000_000],
    ['500 mb', 500_000_000],
    ['1.5GiB', 1_610_612_736],
    ['2TB', 2e12],
    ['1TiB', 1024 ** 4],
    ['  4kib\n', 4096],
    ['0.5KB', 500],
    ['9007199254740991', Number.MAX_SAFE_INTEGER],
  ])('%j is %i bytes', (text, bytes) => {
    expect(parseSize(text)).toBe(bytes)
  })

  it.each([
    ['', 'nothing'],
    ['MB', 'a unit alone'],
    ['-1', 'a negative number'],
    ['+1', 'a sign'],
    ['1e3', 'an exponent'],
    ['0x10', 'another base'],
    ['1,5MB', 'a decimal comma'],
    ['1.MB', 'half a fraction'],
    ['.5MB', 'the other half'],
    ['1MB2', 'something after the unit'],
    ['1 M B', 'a torn unit'],
    ['1XB', 'an unknown unit'],
    ['1s', 'a unit of time'],
    ['1constructor', 'the name of a property that every object has'],
    ['9007199254740992', 'more than can be counted exactly'],
    ['9007200GB', 'a product beyond that'],
    ['Infinity', 'no number'],
    ['NaN', 'no number either'],
  ])('%j is none: %s', (text) => {
    expect(parseSize(text)).toBeUndefined()
  })
})

describe('a duration', () => {
  it.each([
    ['1ms', 1],
    ['60s', 60_000],
    ['1.5m', 90_000],
    ['24h', 86_400_000],
    ['7D', 604_800_000],
    ['1y', 31_536_000_000],
    ['0s', 0],
  ])('%j is %i milliseconds', (text, ms) => {
    expect(parseDuration(text)).toBe(ms)
  })

  it.each(['60', '', 's', '-1s', '1w', '1MB', '1h30m', '1 hour'])('%j is none', (text) => {
    expect(parseDuration(text)).toBeUndefined()
  })
})
