import { type FileHandle, open } from 'node:fs/promises'
import type { Ffmpeg, ToolRun } from '../tools/ffmpeg.ts'
import { UnreadableInput } from '../tools/tool-errors.ts'
import { packetOffset, scrubFor } from './codecs.ts'
import { occurrences } from './occurrences.ts'
import { PacketPositions } from './packet-positions.ts'
import type { CodecScrub, PacketScrub } from './scrub.ts'
import { readStreams, type WrittenStream } from './written-streams.ts'
import { Yielder } from './yielding.ts'

/** Configurations precede the first packet; only an index comes before, of up to some hours. */
const MAX_HEAD_BYTES = 64 * 1024 * 1024
/** Packets of streams that are parsed, such as ten hours of video with sound. Each takes 12 bytes of memory. */
const MAX_PACKETS = 5_000_000
/** How much of the sound is cut off; the comments of Ogg, which were written by us. */
const KNOWN_BESIDE = new Set(['', 'Skip Samples', 'Metadata Update'])
const WINDOW_BYTES = 1024 * 1024

export type ScrubOptions = {
  /** Called once before the file is changed; not called where nothing is changed. */
  beforeChange?: () => Promise<void>
  maxPackets?: number
}

/**
 * Overwrites, in place, what the codecs of a file that we have written carry besides picture and sound. Fails with
 * `UnreadableInput` where it contains something unknown. Linear in the size of the file, whatever it contains; yields
 * to other work.
 */
export async function scrubFile(
  ffmpeg: Ffmpeg,
  run: ToolRun,
  contentType: string,
  options: ScrubOptions = {},
): Promise<void> {
  const streams = readStreams((await ffmpeg.probe({ ...run, isQuick: true, withConfig: true })).json)
  const scrubs = streams.map((stream) => scrubFor(contentType, stream))
  const isScrubbed = scrubs.map((scrub) => scrub.packets !== undefined)
  const { places, firstPosition } = await placesOf(ffmpeg, run, {
    offset: packetOffset(contentType),
    isScrubbed,
    most: options.maxPackets ?? MAX_PACKETS,
  })
  const file = new ScrubbedFile(await open(run.input, 'r+'), run.signal, options.beforeChange)
  try {
    await file.scrubConfigs({ streams, scrubs, headBytes: firstPosition })
    await file.scrubPackets({ streams, scrubs, places })
  } finally {
    await file.close()
  }
}

type Work = { streams: readonly WrittenStream[]; scrubs: readonly CodecScrub[] }

/** Positions of the packets that are parsed, and of the first packet of all. */
async function placesOf(
  ffmpeg: Ffmpeg,
  run: ToolRun,
  { offset, isScrubbed, most }: { offset: number; isScrubbed: readonly boolean[]; most: number },
): Promise<{ places: PacketPositions; firstPosition: number }> {
  const places = new PacketPositions()
  let first = Number.POSITIVE_INFINITY
  let problem: string | undefined
  const ended = new AbortController()
  const check = ({
    stream,
    position,
    bytes,
    beside,
  }: Parameters<typeof places.add>[0] & { beside: string }) => {
    if (Number.isNaN(position)) return 'where a packet is cannot be told'
    if (beside !== '' && beside.split('|').some((one) => !KNOWN_BESIDE.has(one)))
      return `what is beside its packets is not known: ${beside}`
    first = Math.min(first, position + offset)
    if (!isScrubbed[stream]) return undefined
    if (places.length >= most) return 'there are too many packets'
    return places.add({ stream, position: position + offset, bytes })
      ? undefined
      : 'its packets are out of order'
  }
  try {
    await ffmpeg.packets({
      ...run,
      signal: AbortSignal.any([run.signal, ended.signal]),
      onPacket(place) {
        if (problem !== undefined) return
        problem = check(place)
        // Further packets would not change that.
        if (problem !== undefined) ended.abort()
      },
    })
  } catch (error) {
    if (problem === undefined) throw error
  }
  if (problem !== undefined) throw new UnreadableInput(problem)
  return { places, firstPosition: Number.isFinite(first) ? first : 0 }
}

/** A file while it is scrubbed. */
class ScrubbedFile {
  readonly #file: FileHandle
  readonly #signal: AbortSignal
  readonly #yielder: Yielder
  readonly #beforeChange: (() => Promise<void>) | undefined
  #isChanged = false

  constructor(file: FileHandle, signal: AbortSignal, beforeChange: (() => Promise<void>) | undefined) {
    this.#file = file
    this.#signal = signal
    this.#yielder = new Yielder(signal)
    this.#beforeChange = beforeChange
  }

  async close(): Promise<void> {
    await this.#file.close()
  }

  async scrubConfigs({ streams, scrubs, headBytes }: Work & { headBytes: number }): Promise<void> {
    let head: Buffer | undefined
    for (const [n, { config }] of streams.entries()) {
      const scrubbed = Buffer.from(config)
      scrubs[n]?.config(scrubbed)
      if (scrubbed.equals(config)) continue
      if (headBytes > MAX_HEAD_BYTES)
        throw new UnreadableInput('what stands in front of the first packet is too long')
      head ??= await this.#read(0, headBytes)
      let isFound = false
      for (const at of occurrences(head, config)) {
        if (this.#yielder.isOver) await this.#yielder.pass()
        if (at === undefined) continue
        isFound = true
        await this.#write(scrubbed, at)
      }
      if (!isFound) throw new UnreadableInput('a configuration is not where it should be')
    }
  }

  async scrubPackets({ streams, scrubs, places }: Work & { places: PacketPositions }): Promise<void> {
    const scrubbers = scrubs.map((scrub, n) => scrub.packets?.(streams[n]?.config ?? Buffer.alloc(0)))
    let window: { from: number; bytes: Buffer } = { from: 0, bytes: Buffer.alloc(0) }
    for (const { stream, position, bytes } of places) {
      const scrub = scrubbers[stream]
      if (!scrub) continue
      this.#signal.throwIfAborted()
      if (bytes > (scrubs[stream]?.maxPacketBytes ?? 0)) throw new UnreadableInput('a packet is too long')
      if (position < window.from || position + bytes > window.from + window.bytes.length)
        window = { from: position, bytes: await this.#read(position, Math.max(bytes, WINDOW_BYTES)) }
      const packet = window.bytes.subarray(position - window.from, position - window.from + bytes)
      if (packet.length < bytes) throw new UnreadableInput('a packet is not where it should be')
      await this.#scrubPacket(scrub, packet, position)
    }
    for (const scrub of scrubbers) {
      const blanks: Blanked[] = []
      scrub?.end?.((at, count) => blanks.push([at, count]))
      await this.#blank(blanks)
    }
  }

  async #scrubPacket(scrub: PacketScrub, packet: Buffer, position: number): Promise<void> {
    const before = Buffer.from(packet)
    const blanks: Blanked[] = []
    await this.#yielder.through(scrub(packet, position, (at, count) => blanks.push([at, count])))
    if (!packet.equals(before)) await this.#write(packet, position)
    await this.#blank(blanks)
  }

  async #blank(blanks: readonly Blanked[]): Promise<void> {
    for (const [position, bytes] of blanks) await this.#write(Buffer.alloc(bytes), position)
  }

  async #read(position: number, bytes: number): Promise<Buffer> {
    const buffer = Buffer.alloc(bytes)
    let read = 0
    while (read < bytes) {
      const { bytesRead } = await this.#file.read(buffer, read, bytes - read, position + read)
      if (bytesRead === 0) break
      read += bytesRead
    }
    return buffer.subarray(0, read)
  }

  async #write(bytes: Buffer, position: number): Promise<void> {
    if (!this.#isChanged) await this.#beforeChange?.()
    this.#isChanged = true
    let written = 0
    while (written < bytes.length) {
      const { bytesWritten } = await this.#file.write(
        bytes,
        written,
        bytes.length - written,
        position + written,
      )
      written += bytesWritten
    }
  }
}

type Blanked = readonly [position: number, bytes: number]
