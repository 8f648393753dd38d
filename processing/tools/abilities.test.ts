import { describe, expect, it } from 'vitest'
import { readAbilities } from './abilities.ts'

const CODECS = ` D..... = Decoding supported
 -------
 DEV.L. h264                 H.264 / AVC (decoders: h264 ) (encoders: libx264 )
 .EV.L. vvc                  H.266 / VVC
 D.A..S ralf                 RealAudio Lossless
 DEVIL. mjpeg                Motion JPEG
`
const FILTERS = ` T.. = Timeline support
 .SC zscale            V->V       Apply resizing, colorspace and bit depth conversion.
 .S. tonemap           V->V       Conversion to/from different dynamic ranges.
`

describe('what an ffmpeg is built with', () => {
  it('is read from its lists', () => {
    const { decodes, filters } = readAbilities({ codecs: CODECS, filters: FILTERS })
    expect(['h264', 'ralf', 'mjpeg', 'vvc', 'D.....', '='].map((name) => decodes.has(name))).toEqual([
      ...[true, true, true],
      ...[false, false, false],
    ])
    expect([...filters]).toEqual(['zscale', 'tonemap'])
  })

  it('is not known of one that prints nothing: it may decode everything', () => {
    const { decodes, filters } = readAbilities({ codecs: '', filters: '' })
    expect(decodes.has('h264')).toBe(true)
    expect(filters.has('zscale')).toBe(false)
  })
})
