import { describe, expect, it } from 'vitest'
import {
  formatBeside,
  formatBitrate,
  formatByteLimit,
  formatBytes,
  formatDuration,
  formatEta,
  formatLimit,
  formatSpeed,
  percentOf,
} from './format.ts'

describe('bytes', () => {
  it.each([
    [0, '0 B'],
    [1, '1 B'],
    [999, '999 B'],
    [1000, '1 KB'],
    [1536, '1.5 KB'],
    [99_960, '100 KB'],
    [100_000, '100 KB'],
    [999_999, '1 MB'],
    [500_000_000, '500 MB'],
    [1000 ** 4 * 2500, '2500 TB'],
  ])('%i reads %s', (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text)
  })

  it.each([
    [524_288_000, '500 MiB'],
    [500_000_000, '500 MB'],
    [1000, '1 KB'],
    [1024, '1 KiB'],
    [5 * 1024 ** 3, '5 GiB'],
    [2_500_000_000, '2.5 GB'],
    [1_234_567, '1,234,567 bytes'],
  ])('as a limit, %i reads %s: what the server was told', (bytes, text) => {
    expect(formatByteLimit(bytes)).toBe(text)
  })

  it.each([
    [600_000_000, 524_288_000, '572 MiB'],
    [524_288_001, 524_288_000, '524,288,001 bytes'],
    [524_400_000, 500_000_000, '524 MB'],
    [999, 1000, '999 B'],
    [500_000_001, 500_000_000, '500,000,001 bytes'],
  ])('%i beside a limit of %i reads %s, which is not the limit', (bytes, limit, text) => {
    expect(formatBeside(bytes, limit)).toBe(text)
    expect(formatBeside(bytes, limit)).not.toBe(formatByteLimit(limit))
  })

  it('shows a dash for what is no size', () => {
    expect(formatBytes(Number.NaN)).toBe('–')
    expect(formatBytes(-1)).toBe('–')
  })

  it('gives a speed per second', () => {
    expect(formatSpeed(2_500_000)).toBe('2.5 MB/s')
  })
})

describe('time left', () => {
  it.each([
    [0, 'a few seconds left'],
    [4.9, 'a few seconds left'],
    [5, '5 s left'],
    [37, '40 s left'],
    [58, '60 s left'],
    [61, '2 min left'],
    [3600, '1 h left'],
    [4700, '1 h 19 min left'],
  ])('%d seconds read "%s"', (seconds, text) => {
    expect(formatEta(seconds)).toBe(text)
  })

  it('says nothing while it is unknown', () => {
    expect(formatEta(Number.POSITIVE_INFINITY)).toBe('')
  })
})

describe('durations', () => {
  it.each([
    [0, '0:00'],
    [6.6, '0:07'],
    [59.6, '1:00'],
    [750, '12:30'],
    [3723, '1:02:03'],
  ])('%d seconds read %s', (seconds, text) => {
    expect(formatDuration(seconds)).toBe(text)
  })

  it('puts limits in words', () => {
    expect(formatLimit(180)).toBe('3 min')
    expect(formatLimit(7200)).toBe('2 h')
    expect(formatLimit(5400)).toBe('1 h 30 min')
  })
})

describe('percent', () => {
  it('reaches 100 only when every byte is there', () => {
    expect(percentOf(999, 1000)).toBe(99)
    expect(percentOf(1000, 1000)).toBe(100)
    expect(percentOf(0, 0)).toBe(100)
  })
})

it('gives bitrates in the unit that fits', () => {
  expect(formatBitrate(128_000)).toBe('128 kbit/s')
  expect(formatBitrate(4_250_000)).toBe('4.3 Mbit/s')
})
