import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { execa } from 'execa'
import { expect } from 'vitest'
import { FORMATS } from '../../content/formats.ts'
import { type HeaderFacts, type HeaderReader, headerReaderFor } from '../../content/headers/header-reader.ts'
import { NO_FACTS } from '../../content/headers/header-walk.ts'
import type { MediaFacts } from '../../ledger/media.ts'
import { Ffmpeg } from '../../processing/tools/ffmpeg.ts'
import { readProbe } from '../../processing/tools/probe-report.ts'
import { programPath } from '../services/requirements.ts'

export const NOTHING = NO_FACTS

/** Input and codec of a moving picture, one second at 25 fps unless told otherwise. */
export function picture(size: string, seconds = 1): string[] {
  return ['-f', 'lavfi', '-i', `testsrc2=size=${size}:rate=25:duration=${seconds}`]
}

export const sound = ['-f', 'lavfi', '-i', 'sine=frequency=440:duration=1']
export const h264 = ['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p']
export const vp8 = ['-c:v', 'libvpx', '-deadline', 'realtime', '-cpu-used', '8']

/** The path of a file that ffmpeg made, in the container that its name tells. */
export async function made(directory: string, name: string, ...args: string[][]): Promise<string> {
  const path = join(directory, name)
  await execa(programPath('ffmpeg'), ['-nostdin', '-v', 'error', '-y', ...args.flat(), path], {
    timeout: 60_000,
  })
  return path
}

/** What the check of the whole file finds. */
export async function probed(path: string): Promise<MediaFacts> {
  const ffmpeg = new Ffmpeg({ ffmpegPath: programPath('ffmpeg'), ffprobePath: programPath('ffprobe') })
  const { size } = await stat(path)
  const demuxers = FORMATS.flatMap((format) => format.demuxers)
  const run = { input: path, size, demuxers, signal: AbortSignal.timeout(60_000) }
  return readProbe({ ...(await ffmpeg.probe(run)), complaints: '', size })
}

/** A reader that has got the bytes, in pieces of `chunkSize`, until it wanted no more. */
export function readBytes(contentType: string, bytes: Uint8Array, chunkSize = bytes.length): HeaderReader {
  const reader = headerReaderFor(contentType)
  if (!reader) throw new Error(`no reader for ${contentType}`)
  for (let at = 0; at < bytes.length && !reader.isDone; at += chunkSize) {
    reader.push(bytes.subarray(at, at + chunkSize))
  }
  return reader
}

/** The facts of a file, which have to be the same whatever the pieces it comes in. */
export async function headerOf(contentType: string, path: string): Promise<HeaderFacts> {
  const bytes = await readFile(path)
  const readings = [1, 7, 4096, bytes.length].map((size) => readBytes(contentType, bytes, size))
  for (const { isDone, facts } of readings) {
    expect(isDone).toBe(true)
    expect(facts).toEqual(readings[0]?.facts)
  }
  return readings[0]?.facts ?? NOTHING
}

/** Checks what holds for the facts of any bytes whatever. */
export function expectSane({ durationSeconds, pictures }: HeaderFacts): void {
  if (durationSeconds !== undefined) {
    expect(durationSeconds).toBeGreaterThan(0)
    expect(Number.isFinite(durationSeconds)).toBe(true)
  }
  expect(pictures.length).toBeLessThanOrEqual(64)
  for (const { width, height } of pictures) {
    expect(width >= 0 && height >= 0 && Number.isSafeInteger(width) && Number.isSafeInteger(height)).toBe(
      true,
    )
  }
}

/** What `run` gives, and the bytes of buffers and heap that are in use while it is kept, beyond those before. */
export function retainedBy<Result>(run: () => Result): { result: Result; bytes: number } {
  setFlagsFromString('--expose-gc')
  const collect: () => void = runInNewContext('gc')
  const inUse = () => {
    // Buffers are freed beside the program; the next collection waits for what the last one has found.
    const rounds = Array.from({ length: 5 }, () => {
      collect()
      const { heapUsed, arrayBuffers } = process.memoryUsage()
      return heapUsed + arrayBuffers
    })
    return Math.min(...rounds)
  }
  const before = inUse()
  const result = run()
  return { result, bytes: inUse() - before }
}
