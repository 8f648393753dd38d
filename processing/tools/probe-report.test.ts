import { describe, expect, it } from 'vitest'
import { ContentRejected } from '../../content/verdict.ts'
import { readProbe } from './probe-report.ts'

const video = {
  codec_type: 'video',
  codec_name: 'h264',
  width: 1920,
  height: 1080,
  avg_frame_rate: '30000/1001',
  r_frame_rate: '60/1',
  duration: '9.5',
  nb_read_packets: '300',
}
const audio = { codec_type: 'audio', codec_name: 'aac', duration: '9.9', nb_read_packets: '430' }
const cover = { ...video, codec_name: 'mjpeg', width: 300, height: 300, disposition: { attached_pic: 1 } }
const format = { duration: '10.010000', bit_rate: '128000' }

const read = (report: unknown, complaints = '') => readProbe(report, { size: 1_000_000, complaints })

describe('the facts in a report of ffprobe', () => {
  it('are those of the first video and the first audio stream', () => {
    const others = [
      { ...video, codec_name: 'av1', width: 64 },
      { ...audio, codec_name: 'mp3' },
    ]
    expect(read({ streams: [video, audio, ...others], format })).toEqual({
      duration_seconds: 10.01,
      width: 1920,
      height: 1080,
      fps: 29.97,
      video_codec: 'h264',
      audio_codec: 'aac',
      has_audio: true,
      bitrate: 128_000,
      rotation: 0,
      is_hdr: false,
      video_streams: 2,
      audio_streams: 2,
      captions: [],
    })
  })

  it.each([
    [{ rotation: 90 }, 270, 1080, 1920],
    [{ rotation: -90 }, 90, 1080, 1920],
    [{ rotation: 270 }, 90, 1080, 1920],
    [{ rotation: 180 }, 180, 1920, 1080],
    [{ rotation: -180 }, 180, 1920, 1080],
    [{ rotation: 0 }, 0, 1920, 1080],
    [{}, 0, 1920, 1080],
  ])('are as shown after %j, %i° clockwise', (sideData, rotation, width, height) => {
    const turned = { ...video, side_data_list: [{}, sideData] }
    expect(read({ streams: [turned], format })).toMatchObject({ rotation, width, height })
  })

  it.each([
    ['smpte2084', true],
    ['arib-std-b67', true],
    ['bt709', false],
    [undefined, false],
  ])('tell HDR by its transfer function: %s', (color_transfer, isHdr) => {
    expect(read({ streams: [{ ...video, color_transfer }], format }).is_hdr).toBe(isHdr)
  })

  it('have the languages of captions, each once, and nothing else that stands in their place', () => {
    const subtitle = (language?: unknown) => ({ codec_type: 'subtitle', tags: { language } })
    const captions = ['ger', 'eng', 'GER', 'pt-BR', undefined, '<script>', 7].map(subtitle)
    expect(read({ streams: [video, ...captions], format }).captions).toEqual(['ger', 'eng', 'pt-br', 'und'])
    expect(read({ streams: [{ ...video, closed_captions: 1 }], format }).captions).toEqual(['und'])
  })

  it('do not take cover art for a video', () => {
    expect(read({ streams: [cover, audio], format })).toMatchObject({
      width: null,
      height: null,
      fps: null,
      video_codec: null,
      audio_codec: 'aac',
    })
    expect(read({ streams: [cover, video], format })).toMatchObject({ width: 1920, video_codec: 'h264' })
  })

  it('say that a silent video is silent', () => {
    expect(read({ streams: [video], format })).toMatchObject({ has_audio: false, audio_codec: null })
  })

  it.each([
    ['the container’s', { format, streams: [video, audio] }, 10.01],
    ['else the video’s', { format: {}, streams: [audio, video] }, 9.5],
    ['else the sound’s', { format: {}, streams: [audio] }, 9.9],
    [
      'unknown when it is no number',
      { format: { duration: 'N/A' }, streams: [{ ...video, duration: 'N/A' }] },
      null,
    ],
    [
      'unknown when it is negative',
      { format: { duration: '-3' }, streams: [{ ...video, duration: '-1' }] },
      null,
    ],
  ])('have a duration: %s', (_whose, report, seconds) => {
    expect(read(report).duration_seconds).toBe(seconds)
  })

  it.each([
    ['30/1', '60/1', 30],
    ['24000/1001', '60/1', 23.976],
    ['0/0', '25/1', 25],
    ['0/0', '0/0', null],
    ['N/A', undefined, null],
    [undefined, undefined, null],
    ['1/0', undefined, null],
  ])('have a frame rate: %s, else %s', (average, base, fps) => {
    const stream = { ...video, avg_frame_rate: average, r_frame_rate: base }
    expect(read({ streams: [stream], format }).fps).toBe(fps)
  })

  it.each([
    ['as said', format, 128_000],
    ['reckoned from size and duration', { duration: '10' }, 800_000],
    ['unknown without a duration', {}, null],
    ['unknown with a duration of nothing', { duration: '0' }, null],
  ])('have a bitrate: %s', (_how, container, bitrate) => {
    const stream = { ...video, duration: undefined }
    expect(read({ streams: [stream], format: container }).bitrate).toBe(bitrate)
  })
})

describe('a report is of a damaged file', () => {
  const streams = [video]
  it.each<[string, unknown, string]>([
    ['without any stream', { format }, ''],
    ['with subtitles alone', { streams: [{ codec_type: 'subtitle', nb_read_packets: '3' }], format }, ''],
    ['with nothing but cover art', { streams: [cover], format }, ''],
    ['whose streams hold no packet', { streams: [{ ...video, nb_read_packets: '0' }], format }, ''],
    ['whose packets were not counted', { streams: [{ ...audio, nb_read_packets: undefined }], format }, ''],
    ['that is no report', 'Segmentation fault', ''],
    ['with streams that are none', { streams: 'many' }, ''],
    ['cut short', { streams, format }, '[mov] stream 0, offset 0x5a0: partial file'],
    ['ended early', { streams, format }, 'File ended prematurely at pos. 1234'],
    ['truncated', { streams, format }, 'Truncating packet of size 4096 to 17'],
    ['invalid', { streams, format }, 'Invalid data found when processing input'],
    ['without an index', { streams, format }, 'moov atom not found'],
    ['corrupt', { streams, format }, '[h264] corrupt decoded frame'],
  ])('%s', (_what, report, complaints) => {
    let verdict: unknown
    try {
      read(report, complaints)
    } catch (error) {
      verdict = error
    }
    expect(verdict).toBeInstanceOf(ContentRejected)
    expect(verdict).toMatchObject({ verdict: { code: 'damaged' } })
  })

  it('not when ffprobe complains of something harmless', () => {
    expect(read({ streams, format }, 'deprecated pixel format used').width).toBe(1920)
  })
})
