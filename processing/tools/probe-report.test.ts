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
  packets: 285,
  seconds: 9.5,
}
const audio = { codec_type: 'audio', codec_name: 'aac', packets: 430, seconds: 9.9 }
const cover = { ...video, codec_name: 'mjpeg', width: 300, height: 300, disposition: { attached_pic: 1 } }
const format = { duration: '10.010000', bit_rate: '128000' }

type Packets = { packets?: number; seconds?: number; start?: number }
type Report = { streams?: (Packets & Record<string, unknown>)[]; format?: unknown }

/** The report, in which each stream has its packets with it. */
function read({ streams = [], format }: Report, complaints = '') {
  const times = streams.flatMap(({ packets, seconds = 0, start = 0 }, index) =>
    packets ? [[index, { packets, seconds, start }] as const] : [],
  )
  const json = { streams: streams.map((stream, index) => ({ index, ...stream })), format }
  return readProbe({ json, times: new Map(times), size: 1_000_000, complaints })
}

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
      coded_width: 1920,
      coded_height: 1080,
      picture_stream: 0,
      sound_stream: 1,
      fps: 29.97,
      video_codec: 'h264',
      audio_codec: 'aac',
      has_audio: true,
      bitrate: 799_201,
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

  it.each<[string, Report, number | null]>([
    ['declared, where the packets agree', { format, streams: [video, audio] }, 10.01],
    ['measured without a declared one', { format: {}, streams: [audio, video] }, 9.9],
    ['measured where the header says far more', { format: { duration: '4294967' }, streams: [video] }, 9.5],
    ['measured where the header says far less', { format: { duration: '0' }, streams: [audio] }, 9.9],
    [
      'declared, where it begins late',
      { format: { duration: '40' }, streams: [{ ...video, start: 30 }] },
      40,
    ],
    ['measured from the first packet on', { format: {}, streams: [{ ...video, start: 3600 }] }, 9.5],
    ['of all streams together', { format: {}, streams: [video, { ...audio, start: 5 }] }, 14.9],
    ['declared without timestamps', { format, streams: [{ ...video, seconds: 0 }] }, 10.01],
    [
      'that of the picture, where nothing else is known',
      { format: { duration: 'N/A' }, streams: [{ ...video, seconds: 0, duration: '7' }] },
      7,
    ],
    ['unknown', { format: { duration: '-3' }, streams: [{ ...video, seconds: 0, duration: 'N/A' }] }, null],
  ])('have a duration: %s', (_which, report, seconds) => {
    expect(read(report).duration_seconds).toBe(seconds)
  })

  it.each([
    ['30/1', '60/1', 30],
    ['30000/1001', '60/1', 29.97],
    ['15/1', '60/1', 15],
    ['1000/1', '30/1', 30],
    ['1000/1', '90000/1', 30],
    ['0/0', '0/0', 30],
    ['N/A', undefined, 30],
    ['1/0', undefined, 30],
  ])('have a frame rate: %s or %s, where the packets agree', (average, base, fps) => {
    const stream = { ...video, avg_frame_rate: average, r_frame_rate: base }
    expect(read({ streams: [stream], format }).fps).toBe(fps)
  })

  it.each([
    ['24000/1001', '60/1', 23.976],
    ['0/0', '25/1', 25],
    ['90000/1', '25/1', 25],
    ['0/0', '0/0', null],
  ])('have a frame rate without timestamps: %s, else %s', (average, base, fps) => {
    const stream = { ...video, seconds: 0, avg_frame_rate: average, r_frame_rate: base }
    expect(read({ streams: [stream], format }).fps).toBe(fps)
  })

  it.each([
    ['by size and duration', 9.5, 842_105],
    ['unknown without a duration', 0, null],
  ])('have a bitrate: %s', (_how, seconds, bitrate) => {
    expect(read({ streams: [{ ...video, seconds }], format: {} }).bitrate).toBe(bitrate)
  })

  it.each([
    ['64:45', undefined, 1024, 576],
    ['64:45', 90, 576, 1024],
    ['8:9', undefined, 640, 576],
    ['1:1', undefined, 720, 576],
    ['0:1', undefined, 720, 576],
    ['N/A', undefined, 720, 576],
    [undefined, undefined, 720, 576],
  ])('have the size that is shown, with pixels of %s and rotated by %s', (ratio, rotation, width, height) => {
    const stream = {
      ...video,
      ...{ width: 720, height: 576, sample_aspect_ratio: ratio, side_data_list: [{ rotation }] },
    }
    const facts = read({ streams: [stream], format })
    expect(facts).toMatchObject({ width, height, coded_width: 720, coded_height: 576 })
  })

  it.each<[string, Report['streams'], Partial<ReturnType<typeof read>>]>([
    ['the first of its kind', [audio, video, audio, video], { picture_stream: 1, sound_stream: 0 }],
    ['not a cover before it', [cover, audio, video], { picture_stream: 2, sound_stream: 1 }],
    [
      'not the pictures of chapters',
      [{ ...cover, disposition: { timed_thumbnails: 1 } }, video],
      { picture_stream: 1 },
    ],
    [
      'what is marked as the default',
      [video, { ...video, disposition: { default: 1 } }],
      { picture_stream: 1 },
    ],
    [
      'what can be decoded rather than the default',
      [{ ...video, codec_name: undefined, disposition: { default: 1 } }, video],
      { picture_stream: 1 },
    ],
    ['what has packets', [{ ...audio, packets: 0 }, audio], { sound_stream: 1 }],
    ['none', [audio], { picture_stream: null, sound_stream: 0 }],
  ])('have one picture and one sound: %s', (_which, streams, chosen) => {
    expect(read({ streams, format })).toMatchObject(chosen)
  })
})

describe('a report is of a damaged file', () => {
  const streams = [video]
  it.each<[string, Report, string]>([
    ['without any stream', { streams: [], format }, ''],
    ['whose streams hold no packet', { streams: [{ ...video, packets: 0 }], format }, ''],
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

  it.each([
    ['text', 'Segmentation fault'],
    ['streams that are none', { streams: 'many' }],
  ])('that is no report but %s', (_what, json) => {
    const verdict = expect.objectContaining({ code: 'damaged' })
    const reading = () => readProbe({ json, times: new Map(), size: 1, complaints: '' })
    expect(reading).toThrow(expect.objectContaining({ verdict }))
  })

  it.each([
    ['subtitles alone', [{ codec_type: 'subtitle', packets: 3 }]],
    ['nothing but cover art', [cover]],
  ])('no more than one with %s, which has a reason of its own', (_what, others) => {
    const verdict = expect.objectContaining({ code: 'no-media' })
    expect(() => read({ streams: others, format })).toThrow(expect.objectContaining({ verdict }))
  })

  it('not when ffprobe complains of something harmless', () => {
    expect(read({ streams, format }, 'deprecated pixel format used').width).toBe(1920)
  })
})
