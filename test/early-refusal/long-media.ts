import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { programPath } from '../services/requirements.ts'
import { type BigBody, beginningWith } from './big-body.ts'

export type Picture = { seconds: number; width: number; height: number }
export type Container = 'mp4' | 'webm'

const CLIP_SECONDS = 60
const CODING: Record<Container, string[]> = {
  mp4: ['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p'],
  webm: ['-c:v', 'libvpx', '-deadline', 'realtime', '-cpu-used', '8'],
}
const INDEX: Record<Container, string[]> = { mp4: ['-movflags', '+faststart'], webm: [] }

/** A box, or an element, that players skip: its header alone. */
const SKIPPED: Record<Container, (bytes: number) => Buffer> = { mp4: freeBox, webm: voidElement }

/**
 * A valid video of one black picture a second, its index in front, that something without meaning behind it makes
 * `bytes` long.
 */
export async function paddedVideo(container: Container, picture: Picture, bytes: number): Promise<BigBody> {
  const video = await blackVideo(container, picture)
  return beginningWith(Buffer.concat([video, SKIPPED[container](bytes - video.length)]), bytes)
}

async function blackVideo(container: Container, { seconds, width, height }: Picture): Promise<Buffer> {
  const directory = await mkdtemp(join(tmpdir(), 'landfall-black-'))
  try {
    const clip = join(directory, `clip.${container}`)
    // In a file and not in a pipe: only there the index can be put in front, and the duration with it.
    const whole = join(directory, `whole.${container}`)
    const clipSeconds = Math.min(seconds, CLIP_SECONDS)
    const source = `color=black:size=${width}x${height}:rate=1:duration=${clipSeconds}`
    await ffmpeg(['-f', 'lavfi', '-i', source, ...CODING[container], clip])
    // Encoding three hours would take as many seconds as repeating takes milliseconds.
    const times = Math.round(seconds / clipSeconds)
    await ffmpeg(['-stream_loop', String(times - 1), '-i', clip, '-c', 'copy', ...INDEX[container], whole])
    return await readFile(whole)
  } finally {
    await rm(directory, { recursive: true })
  }
}

async function ffmpeg(args: string[]): Promise<void> {
  await execa(programPath('ffmpeg'), ['-nostdin', '-v', 'error', '-y', ...args])
}

function freeBox(bytes: number): Buffer {
  const header = Buffer.alloc(8)
  header.writeUInt32BE(bytes)
  header.write('free', 4)
  return header
}

/** EBML Void: its id, and a length in eight bytes. */
function voidElement(bytes: number): Buffer {
  const header = Buffer.alloc(9)
  header.writeBigUInt64BE((1n << 56n) | BigInt(bytes - header.length), 1)
  header[0] = 0xec
  return header
}
