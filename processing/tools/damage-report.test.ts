import { describe, expect, it } from 'vitest'
import { damageIn, missingIn } from './damage-report.ts'

const FOLLOW_UP = 'Error while decoding stream #0:0: Invalid data found when processing input'
const VIDEO = { picture: 'h264', sound: 'aac' }

describe('messages of a decoder', () => {
  it.each([
    ['about the picture', '[h264 @ 0x1] error while decoding MB 3 4', VIDEO],
    ['about the sound', '[aac @ 0x1] channel element 0.0 is not allocated', VIDEO],
    ['that refer to nothing before', FOLLOW_UP, VIDEO],
  ])('%s show damage', (_what, complaints, played) => {
    expect(damageIn(complaints, played)).toBe(complaints)
  })

  it.each([
    ['a cover of a sound', '[mjpeg @ 0x1] No JPEG data found in image', { sound: 'mp3' }],
    ['a cover of a video', '[png @ 0x1] Invalid PNG signature 0x00000000.', VIDEO],
    ['a cover read over the network', '[png] inflate returned error -3', { sound: 'flac' }],
    [
      'a sample that is not whole',
      `[pcm_s16le @ 0x1] Invalid PCM packet, data has size 1 but at least a size of 2 was expected\n${FOLLOW_UP}`,
      { sound: 'pcm_s16le' },
    ],
    ['zeros behind an MP3', FOLLOW_UP, { sound: 'mp3' }],
    ['nothing', '', VIDEO],
  ])('about %s show none', (_what, complaints, played) => {
    expect(damageIn(complaints, played)).toBeUndefined()
  })

  it('about stills show damage where stills are the picture', () => {
    const complaint = '[mjpeg @ 0x1] No JPEG data found in image'
    expect(damageIn(complaint, { picture: 'mjpeg' })).toBe(complaint)
  })
})

describe('messages of ffprobe', () => {
  it('show missing bytes, but not those of a cover', () => {
    expect(missingIn('[mov @ 0x1] stream 0, offset 0x5a0: partial file', VIDEO)).toBeDefined()
    expect(missingIn('[h264 @ 0x1] corrupt decoded frame', VIDEO)).toBeDefined()
    const cover = '[mjpeg @ 0x1] unable to decode APP fields: Invalid data found when processing input'
    expect(missingIn(cover, { sound: 'mp3' })).toBeUndefined()
    expect(missingIn(cover, { picture: 'mjpeg' })).toBe(cover)
  })
})
