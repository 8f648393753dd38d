import { describe, expect, it } from 'vitest'
import { codecsOf, masterPlaylist, peakBitrate, readMediaPlaylist, type Segment } from './hls-playlist.ts'

const TEXT = `#EXTM3U
#EXT-X-VERSION:7
#EXT-X-TARGETDURATION:4
#EXT-X-MEDIA-SEQUENCE:0
#EXT-X-PLAYLIST-TYPE:VOD
#EXT-X-MAP:URI="hls-1.mp4",BYTERANGE="1354@0"
#EXTINF:4.000000,
#EXT-X-BYTERANGE:1000@1354
hls-1.mp4
#EXTINF:2.500000,
#EXT-X-BYTERANGE:2000@2354
hls-1.mp4
#EXT-X-ENDLIST
`
const playlist = (segments: readonly Segment[]) => ({
  initBytes: 1000,
  targetSeconds: 4,
  segments: [...segments],
})

describe('the playlist of a rendition', () => {
  it('is read for its pieces', () => {
    expect(readMediaPlaylist(TEXT)).toEqual({
      initBytes: 1354,
      targetSeconds: 4,
      segments: [
        { seconds: 4, bytes: 1000 },
        { seconds: 2.5, bytes: 2000 },
      ],
    })
  })

  it.each([
    ['of nothing', ''],
    ['without an end', TEXT.replace('#EXT-X-ENDLIST\n', '')],
    ['without its beginning', TEXT.replace(/#EXT-X-MAP.*\n/, '')],
    ['without pieces', TEXT.replace(/#EXTINF[\s\S]*(?=#EXT-X-ENDLIST)/, '')],
  ])('is none %s', (_what, text) => {
    expect(readMediaPlaylist(text)).toBeUndefined()
  })
})

describe('the bit rate of a rendition', () => {
  it('is that of the piece that takes most', () => {
    expect(
      peakBitrate(
        playlist([
          { seconds: 4, bytes: 1000 },
          { seconds: 4, bytes: 4000 },
          { seconds: 4, bytes: 1000 },
        ]),
      ),
    ).toBe(8000)
  })

  it('does not go by a last piece of some frames, but counts it with its neighbour', () => {
    const segments = [
      { seconds: 3.5, bytes: 1000 },
      { seconds: 0.5, bytes: 1000 },
    ]
    expect(peakBitrate(playlist(segments))).toBe(4000)
  })

  it('is that of all where all is short', () => {
    expect(peakBitrate(playlist([{ seconds: 0.5, bytes: 100 }]))).toBe(1600)
  })
})

describe('the master playlist', () => {
  it('names the others with what a player chooses by', () => {
    const variant = (number: number, height: number) => ({
      name: `hls-${number}.m3u8`,
      width: height * 2,
      height,
      codecs: 'avc1.64001f,mp4a.40.2',
      playlist: playlist([
        { seconds: 4, bytes: 1000 * height },
        { seconds: 4, bytes: 500 * height },
      ]),
    })
    expect(masterPlaylist([variant(1, 720), variant(2, 360)])).toBe(`#EXTM3U
#EXT-X-VERSION:7
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-STREAM-INF:BANDWIDTH=1440000,AVERAGE-BANDWIDTH=1080000,RESOLUTION=1440x720,CODECS="avc1.64001f,mp4a.40.2"
hls-1.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=720000,AVERAGE-BANDWIDTH=540000,RESOLUTION=720x360,CODECS="avc1.64001f,mp4a.40.2"
hls-2.m3u8
`)
  })

  it('takes the codecs from the first bytes', () => {
    const configuration = Buffer.concat([Buffer.from('....avcC'), Buffer.from([1, 0x64, 0, 0x1f, 0xff])])
    expect(codecsOf(configuration)).toBe('avc1.64001f')
    expect(codecsOf(Buffer.concat([configuration, Buffer.from('mp4a')]))).toBe('avc1.64001f,mp4a.40.2')
    expect(codecsOf(Buffer.from('moov'))).toBeUndefined()
  })
})
