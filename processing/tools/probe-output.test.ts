import { describe, expect, it } from 'vitest'
import { ProbeOutput } from './probe-output.ts'

const TEXT = `{
    "packets": [
        { "stream_index": 0, "pts_time": "0.000000", "dts_time": "0.000000", "duration_time": "0.500000", "flags": "K_" },
        { "stream_index": 1, "pts_time": "-0.500000", "duration_time": "0.500000", "flags": "KD" },
        { "stream_index": 1, "dts_time": "0.000000", "duration_time": "0.250000", "flags": "K_" },
        { "stream_index": 0, "pts_time": "0.500000", "dts_time": "0.500000", "flags": "__" },
        { "stream_index": 2, "flags": "K_" }
    ],
    "programs": [

    ],
    "streams": [
        { "index": 0, "codec_name": "h264",
            "tags": { "handler_name": "Ünïcode \\"packets\\": [" } }
    ],
    "format": { "duration": "1.000000" }
}
`

function read(text: string, chunkBytes: number, maxCharacters = 10_000) {
  const bytes = Buffer.from(text)
  const output = new ProbeOutput(maxCharacters)
  for (let at = 0; at < bytes.length; at += chunkBytes) output.add(bytes.subarray(at, at + chunkBytes))
  return output.end()
}

describe('the output of ffprobe', () => {
  it.each([1, 7, 64, 100_000])('is read in chunks of %i bytes', (chunkBytes) => {
    const { json, times = new Map() } = read(TEXT, chunkBytes) ?? {}
    expect(json).toEqual({
      packets: [],
      programs: [],
      streams: [{ index: 0, codec_name: 'h264', tags: { handler_name: 'Ünïcode "packets": [' } }],
      format: { duration: '1.000000' },
    })
    expect(Object.fromEntries(times)).toEqual({
      0: { packets: 2, start: 0, seconds: 1 },
      1: { packets: 2, start: 0, seconds: 0.25 },
      2: { packets: 1, start: undefined, seconds: 0 },
    })
  })

  it('is kept without its packets, and with bounded sections', () => {
    const packet = '        { "stream_index": 0, "pts_time": "1.0", "flags": "K_" },\n'
    const many = TEXT.replace('"packets": [\n', `"packets": [\n${packet.repeat(5_000)}`)
    expect(read(many, 1000, 2_000)?.times.get(0)?.packets).toBe(5_002)
    expect(read(TEXT, 1000, 100)).toBeUndefined()
    expect(read('x'.repeat(5_000), 1000, 100)).toBeUndefined()
  })
})
