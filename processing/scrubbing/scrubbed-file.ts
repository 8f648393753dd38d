import { type FileHandle, open } from 'node:fs/promises'
import { type Ffmpeg, type PacketPlace, type ToolRun, UnreadableInput } from '../ffmpeg.ts'
import { packetOffset, scrubFor } from './codecs.ts'
import type { CodecScrub, PacketScrub } from './scrub.ts'
import { readStreams, type WrittenStream } from './written-streams.ts'

/** Configurations stand in front of the first packet, behind no more than an index of hours. */
const MOST_HEAD_BYTES = 64 * 1024 * 1024
const MOST_PACKET_BYTES = 128 * 1024 * 1024
/** How much of a sound is cut off; the comments of an Ogg, which were written anew. */
const KNOWN_BESIDE = new Set(['', 'Skip Samples', 'Metadata Update'])
const WINDOW_BYTES = 1024 * 1024

/**
 * Overwrites in a file that we have just written what its codecs say besides picture and sound, in place: nothing
 * else of the file changes. Fails with `UnreadableInput` where there is something that it does not know.
 */
export async function scrubFile(ffmpeg: Ffmpeg, run: ToolRun, contentType: string): Promise<void> {
  const streams = readStreams((await ffmpeg.probe({ ...run, isQuick: true, withConfig: true })).json)
  const scrubs = streams.map((stream) => scrubFor(contentType, stream))
  const places = await placesOf(ffmpeg, run, contentType)
  const file = await open(run.input, 'r+')
  try {
    const scrubbers = scrubs.map((scrub, n) => scrub.packets?.(streams[n]?.config ?? Buffer.alloc(0)))
    await scrubConfigs(file, { streams, scrubs, headBytes: places[0]?.position ?? 0 })
    await scrubPackets(file, { places, scrubbers, signal: run.signal })
  } finally {
    await file.close()
  }
}

/** In the order of the file. */
async function placesOf(ffmpeg: Ffmpeg, run: ToolRun, contentType: string): Promise<PacketPlace[]> {
  const places: PacketPlace[] = []
  const offset = packetOffset(contentType)
  await ffmpeg.packets({
    ...run,
    onPacket: ({ position, ...packet }) => places.push({ ...packet, position: position + offset }),
  })
  if (places.some(({ position }) => Number.isNaN(position)))
    throw new UnreadableInput('where a packet is cannot be told')
  const strange = places.find(({ beside }) => beside.split('|').some((one) => !KNOWN_BESIDE.has(one)))
  if (strange) throw new UnreadableInput(`what is beside its packets is not known: ${strange.beside}`)
  return places.sort((a, b) => a.position - b.position)
}

async function scrubConfigs(
  file: FileHandle,
  work: { streams: readonly WrittenStream[]; scrubs: readonly CodecScrub[]; headBytes: number },
): Promise<void> {
  let head: Buffer | undefined
  for (const [n, { config }] of work.streams.entries()) {
    const scrubbed = Buffer.from(config)
    work.scrubs[n]?.config(scrubbed)
    if (scrubbed.equals(config)) continue
    head ??= await readHead(file, work.headBytes)
    let at = head.indexOf(config)
    if (at < 0) throw new UnreadableInput('a configuration is not where it should be')
    for (; at >= 0; at = head.indexOf(config, at + config.length)) await writeAt(file, scrubbed, at)
  }
}

async function readHead(file: FileHandle, bytes: number): Promise<Buffer> {
  if (bytes > MOST_HEAD_BYTES)
    throw new UnreadableInput('what stands in front of the first packet is too long')
  return await readAt(file, 0, bytes)
}

async function scrubPackets(
  file: FileHandle,
  work: {
    places: readonly PacketPlace[]
    scrubbers: readonly (PacketScrub | undefined)[]
    signal: AbortSignal
  },
): Promise<void> {
  let window: { from: number; bytes: Buffer } = { from: 0, bytes: Buffer.alloc(0) }
  for (const { stream, position, bytes } of work.places) {
    const scrub = work.scrubbers[stream]
    if (!scrub) continue
    work.signal.throwIfAborted()
    if (bytes > MOST_PACKET_BYTES) throw new UnreadableInput('a packet is too long')
    if (position < window.from || position + bytes > window.from + window.bytes.length)
      window = { from: position, bytes: await readAt(file, position, Math.max(bytes, WINDOW_BYTES)) }
    const packet = window.bytes.subarray(position - window.from, position - window.from + bytes)
    if (packet.length < bytes) throw new UnreadableInput('a packet is not where it should be')
    const before = Buffer.from(packet)
    const blanks: Blanked[] = []
    scrub(packet, position, (at, count) => blanks.push([at, count]))
    if (!packet.equals(before)) await writeAt(file, packet, position)
    await blankOut(file, blanks)
  }
  for (const scrub of work.scrubbers) {
    const blanks: Blanked[] = []
    scrub?.end?.((at, count) => blanks.push([at, count]))
    await blankOut(file, blanks)
  }
}

type Blanked = readonly [position: number, bytes: number]

async function blankOut(file: FileHandle, blanks: readonly Blanked[]): Promise<void> {
  for (const [position, bytes] of blanks) await writeAt(file, Buffer.alloc(bytes), position)
}

async function readAt(file: FileHandle, position: number, bytes: number): Promise<Buffer> {
  const buffer = Buffer.alloc(bytes)
  let read = 0
  while (read < bytes) {
    const { bytesRead } = await file.read(buffer, read, bytes - read, position + read)
    if (bytesRead === 0) break
    read += bytesRead
  }
  return buffer.subarray(0, read)
}

async function writeAt(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  let written = 0
  while (written < bytes.length) {
    const { bytesWritten } = await file.write(bytes, written, bytes.length - written, position + written)
    written += bytesWritten
  }
}
