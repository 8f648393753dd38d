import { describe, expect, it } from 'vitest'
import { earlyVerdict } from './early-verdict.ts'
import type { Picture } from './header-reader.ts'
import { headerReaderFor } from './header-reader.ts'

const limits = {
  maxDurationSeconds: 60,
  minWidth: 32,
  minHeight: 32,
  maxWidth: 1920,
  maxHeight: 1080,
  maxImagePixels: 100_000_000,
}

const SIZE = 1_000_000

const facts = (durationSeconds?: number, ...pictures: Picture[]) => ({
  durationSeconds,
  pictures,
  isEncrypted: false,
})
const size = (width: number, height: number): Picture => ({ width, height })

describe('what a header says against a file', () => {
  it.each([
    ['nothing is known', facts()],
    ['it is as long as allowed', facts(60)],
    ['it may turn out to be as long as allowed', facts(61)],
    ['it is as large as allowed', facts(1, size(1920, 1080))],
    ['it may turn out to be as large as allowed', facts(1, size(1920, 1088))],
    ['it is portrait, and as large as allowed', facts(1, size(1080, 1920))],
    ['its pixels may be wider than high', facts(1, size(31, 640))],
    ['its size is not known', facts(1, size(0, 0))],
    ['it has too few bytes for what it says', facts(143_165)],
    ['only its first picture is too large', facts(1, size(9000, 9000), size(640, 360))],
    ['only its second picture is too large', facts(1, size(640, 360), size(9000, 9000))],
    ['the size of the first picture is not known', facts(1, size(0, 0), size(9000, 9000))],
  ])('is nothing while %s', (_case, known) => {
    expect(earlyVerdict(known, 'video', limits, SIZE)).toBeUndefined()
  })

  it.each([
    ['it is too long', facts(61.5), 'too-long', 'The file lasts 61.5 s; the maximum is 60 s.'],
    [
      'it is too wide',
      facts(1, size(1936, 1080)),
      'dimensions-too-large',
      'The picture is 1936×1080 pixels; the maximum is 1920×1080.',
    ],
    [
      'it is too high',
      facts(undefined, size(1080, 1936)),
      'dimensions-too-large',
      'The picture is 1080×1936 pixels; the maximum is 1080×1920.',
    ],
    [
      'it is too small',
      facts(1, size(12, 640)),
      'dimensions-too-small',
      'The picture is 12×640 pixels; the minimum is 32×32.',
    ],
    [
      'it is surely too large, and perhaps too long',
      facts(60.5, size(9000, 9000)),
      'dimensions-too-large',
      'The picture is 9000×9000 pixels; the maximum is 1920×1080.',
    ],
  ] as const)('is that %s', (_case, known, code, detail) => {
    expect(earlyVerdict(known, 'video', limits, SIZE)).toEqual({ code, detail })
  })

  it('is that it is encrypted', () => {
    const encrypted = { ...facts(1, size(640, 360)), isEncrypted: true }
    expect(earlyVerdict(encrypted, 'video', limits, SIZE)).toMatchObject({ code: 'encrypted' })
  })

  it('is nothing of its length while its size is not declared', () => {
    expect(earlyVerdict(facts(100), 'video', limits, null)).toBeUndefined()
  })

  it('is the number of pixels of an image, whatever its sides', () => {
    const image = { ...limits, maxImagePixels: 1_000_000 }
    expect(earlyVerdict(facts(undefined, size(10_000, 100)), 'image', image, SIZE)).toBeUndefined()
    expect(earlyVerdict(facts(undefined, size(10_000, 101)), 'image', image, SIZE)).toEqual({
      code: 'dimensions-too-large',
      detail: 'The picture is 10000×101 pixels; the maximum is 1 megapixels.',
    })
  })

  it('is not the size of a picture that comes with sound, but its length', () => {
    expect(earlyVerdict(facts(1, size(9000, 9000)), 'audio', limits, SIZE)).toBeUndefined()
    expect(earlyVerdict(facts(100), 'audio', limits, SIZE)).toMatchObject({ code: 'too-long' })
  })
})

describe('a reader of headers', () => {
  it.each(['video/mp4', 'video/quicktime', 'audio/mp4', 'video/webm', 'video/x-matroska', 'video/x-m4v'])(
    'is there for %s',
    (type) => {
      expect(headerReaderFor(type)).toMatchObject({ isDone: false })
    },
  )

  it.each(['image/avif', 'image/heic', 'image/bmp', 'image/jpeg', 'image/png', 'image/webp'])(
    'is there for %s',
    (type) => {
      expect(headerReaderFor(type)).toMatchObject({ isDone: false })
    },
  )

  it.each(['video/x-msvideo', 'image/gif', 'audio/mpeg', 'text/plain', ''])('is not there for %j', (type) => {
    expect(headerReaderFor(type)).toBeUndefined()
  })
})
