import { StringDecoder } from 'node:string_decoder'
import { PacketClock, type StreamTimes } from './packet-times.ts'

/** What ffprobe is asked for of each packet. */
export const PACKET_ENTRIES = 'packet=stream_index,pts_time,dts_time,duration_time,flags'
/** Of the file and its streams; not its tags, which hold texts and pictures of any length. */
export const STREAM_ENTRIES = [
  'format=duration,size',
  'stream=index,codec_type,codec_name,width,height,sample_aspect_ratio,avg_frame_rate,r_frame_rate,duration,color_transfer,closed_captions',
  'stream_tags=language',
  'stream_disposition=default,attached_pic,timed_thumbnails',
  'stream_side_data=rotation',
]

const BEGIN = /^ {4}"packets": \[/
const END = /^ {4}\]/

/**
 * Takes ffprobe's compact JSON (`-of json=compact=1`) as it arrives, with each packet in a line of its own: keeps the
 * sections, and of the packets only their times, as there may be millions. Of sections beyond `maxCharacters` nothing is
 * kept.
 */
export class ProbeOutput {
  readonly #decoder = new StringDecoder('utf8')
  readonly #clocks = new Map<number, PacketClock>()
  readonly #maxCharacters: number
  #kept = ''
  #rest = ''
  #isInPackets = false
  #isTooLong = false

  constructor(maxCharacters: number) {
    this.#maxCharacters = maxCharacters
  }

  add(chunk: Uint8Array): void {
    if (this.#isTooLong) return
    const lines = (this.#rest + this.#decoder.write(Buffer.from(chunk))).split('\n')
    this.#rest = lines.pop() ?? ''
    for (const line of lines) this.#line(line)
    if (this.#kept.length + this.#rest.length <= this.#maxCharacters) return
    this.#isTooLong = true
    this.#kept = ''
    this.#rest = ''
  }

  /**
   * The report without its packets, and the times of each stream that has packets, by its number. Undefined where the
   * report was too long.
   */
  end(): { json: unknown; times: ReadonlyMap<number, StreamTimes> } | undefined {
    if (this.#isTooLong) return undefined
    this.#line(this.#rest)
    const times = new Map([...this.#clocks].map(([stream, clock]) => [stream, clock.read()]))
    return { json: JSON.parse(this.#kept), times }
  }

  #line(line: string): void {
    this.#isInPackets = this.#isInPackets ? !END.test(line) : BEGIN.test(line)
    if (!this.#isInPackets || BEGIN.test(line)) this.#kept += `${line}\n`
    else this.#packet(line)
  }

  #packet(line: string): void {
    const stream = numberIn(line, STREAM)
    if (stream === undefined) return
    const clock = this.#clocks.get(stream) ?? new PacketClock()
    this.#clocks.set(stream, clock)
    const start = numberIn(line, SHOWN) ?? numberIn(line, DECODED)
    // Players skip what an edit list or the decoder's delay leaves out.
    const isPlayed = start !== undefined && !DROPPED.test(line)
    clock.add(isPlayed ? { start, duration: numberIn(line, DURATION) ?? 0 } : undefined)
  }
}

// Each line has these once. Parsing it as JSON takes five times as long.
const STREAM = /"stream_index": (\d+)/
const SHOWN = /"pts_time": "(-?[\d.]+)"/
const DECODED = /"dts_time": "(-?[\d.]+)"/
const DURATION = /"duration_time": "([\d.]+)"/
const DROPPED = /"flags": "[^"]*D/

function numberIn(line: string, pattern: RegExp): number | undefined {
  const text = pattern.exec(line)?.[1]
  return text === undefined ? undefined : Number(text)
}
