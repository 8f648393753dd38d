import { describe, expect, it } from 'vitest'
import { detectSound } from './sound-frames.ts'

/** MPEG 1, layer III, 128 kbit/s, 44.1 kHz: 417 bytes. */
const mp3 = Buffer.concat([Buffer.from([0xff, 0xfb, 0x90, 0x00]), Buffer.alloc(413, 0x55)])
/** AAC of 100 bytes a frame. */
const adts = Buffer.concat([Buffer.from([0xff, 0xf1, 0x50, 0x80, 0x0c, 0x9f, 0xfc]), Buffer.alloc(93, 0x55)])
const several = (frame: Buffer, count = 4) => Buffer.concat(Array.from({ length: count }, () => frame))

describe('a sound without a signature at its first byte', () => {
  it.each<[string, Buffer, string | undefined]>([
    ['frames of MP3', several(mp3), 'audio/mpeg'],
    ['frames of MP3 behind zeros', Buffer.concat([Buffer.alloc(1500), several(mp3)]), 'audio/mpeg'],
    [
      'frames of MP3 behind noise',
      Buffer.concat([Buffer.from([1, 0xff, 0xfb, 9, 0xff]), several(mp3)]),
      undefined,
    ],
    [
      'frames of MP3 behind a script',
      Buffer.concat([Buffer.from('#!/bin/sh\nexit 0\n'), several(mp3)]),
      undefined,
    ],
    ['frames of AAC behind zeros', Buffer.concat([Buffer.alloc(300), several(adts)]), 'audio/aac'],
    ['two frames alone', several(mp3, 2), undefined],
    ['frames with gaps', several(Buffer.concat([mp3, Buffer.alloc(3)])), undefined],
    ['RF64', Buffer.from('RF64\xff\xff\xff\xffWAVEds64', 'latin1'), 'audio/wav'],
    ['BW64', Buffer.from('BW64\xff\xff\xff\xffWAVEds64', 'latin1'), 'audio/wav'],
    ['ADIF, which ffmpeg does not read', Buffer.from('ADIF....', 'latin1'), undefined],
    ['zeros', Buffer.alloc(4100), undefined],
    ['all ones', Buffer.alloc(4100, 0xff), undefined],
    ['text', Buffer.from('ID3 is a tag, ÿû is not'.repeat(100), 'latin1'), undefined],
    ['nothing', Buffer.alloc(0), undefined],
  ])('is recognised by %s', (_what, bytes, type) => {
    expect(detectSound(bytes)).toBe(type)
  })
})
