/** When one stream is played, in seconds. */
export type StreamTimes = {
  packets: number
  /** When its first packet is played; undefined without timestamps. */
  start: number | undefined
  /** From its first packet to the end of its last one. */
  seconds: number
}

/** In seconds. */
export type PacketTime = { start: number; duration: number }

/** Packets without a jump of the clock among them. */
type Stretch = { packets: number; start: number; latest: number; end: number }

/** Back by more than this is another clock, as where recordings were joined. */
const REORDERED_SECONDS = 10
/**
 * So is a jump ahead by more than this; but not where there are hardly any other packets between such jumps, as where
 * pictures are shown for hours.
 */
const PAUSE_SECONDS = 3600
const PACKETS_BETWEEN_PAUSES = 10

/** Measures a stream by the timestamps of its packets, in the order of the file. */
export class PacketClock {
  #packets = 0
  #start: number | undefined
  /** Seconds before the last jump. */
  #before = 0
  readonly #pauses = { count: 0, seconds: 0 }
  #stretch: Stretch | undefined

  /** Without a time, the packet is only counted: it has no timestamp, or is not played. */
  add(time: PacketTime | undefined): void {
    this.#packets += 1
    if (!time) return
    const { start, duration } = time
    const end = start + duration
    if (this.#stretch && this.#isJump(this.#stretch, start)) {
      this.#before += lengthOf(this.#stretch)
      this.#stretch = undefined
    }
    const { packets = 0, ...so } = this.#stretch ?? { start, latest: start, end }
    this.#stretch = {
      packets: packets + 1,
      // Pictures are not stored in the order in which they are shown.
      start: Math.min(so.start, start),
      latest: Math.max(so.latest, start),
      end: Math.max(so.end, end),
    }
    if (this.#before === 0) this.#start = this.#stretch.start
  }

  #isJump({ latest, end }: Stretch, start: number): boolean {
    if (start <= end + PAUSE_SECONDS) return start < latest - REORDERED_SECONDS
    this.#pauses.count += 1
    this.#pauses.seconds += start - end
    return true
  }

  read(): StreamTimes {
    const { count, seconds: paused } = this.#pauses
    const arePictures = count * PACKETS_BETWEEN_PAUSES > this.#packets
    const seconds = this.#before + (this.#stretch ? lengthOf(this.#stretch) : 0) + (arePictures ? paused : 0)
    return { packets: this.#packets, start: this.#start, seconds }
  }
}

/** A last packet of unknown duration lasts as long as the others on average. */
function lengthOf({ packets, start, latest, end }: Stretch): number {
  const unknown = end === latest && packets > 1 ? (latest - start) / (packets - 1) : 0
  return end - start + unknown
}

/** Seconds of these streams together: from their first packet, or from time 0, to their end. */
export type Length = { fromFirst: number; fromZero: number }

/** Undefined where no stream has timestamps. */
export function lengthOfAll(streams: readonly StreamTimes[]): Length | undefined {
  const timed = streams.flatMap(({ start, seconds }) => (start === undefined ? [] : { start, seconds }))
  if (timed.length === 0) return undefined
  const first = Math.min(...timed.map(({ start }) => start))
  const end = Math.max(...timed.map(({ start, seconds }) => start + seconds))
  // Sound just before zero only prepares the decoder.
  return { fromFirst: end - (first > -1 ? Math.max(first, 0) : first), fromZero: end }
}
