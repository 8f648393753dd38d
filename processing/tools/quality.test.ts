import { describe, expect, it } from 'vitest'
import { qualityOf } from './quality.ts'

describe('the quality of a picture', () => {
  it.each([
    [3840, 2160, '4k'],
    [4096, 2160, '4k'],
    [4096, 4096, '4k'],
    [3840, 2159, '1440p'],
    [2560, 1440, '1440p'],
    [2560, 1439, '1080p'],
    [1920, 1080, '1080p'],
    [1920, 1079, '720p'],
    [1280, 720, '720p'],
    [1280, 719, '480p'],
    [854, 480, '480p'],
    [640, 479, '360p'],
    [640, 360, '360p'],
    [320, 240, '360p'],
  ])('%i × %i is %s, and so it is upright', (width, height, quality) => {
    expect(qualityOf(width, height)).toBe(quality)
    expect(qualityOf(height, width)).toBe(quality)
  })
})
