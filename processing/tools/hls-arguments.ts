import { join } from 'node:path'
import type { Abilities } from './abilities.ts'
import type { HlsRendition } from './hls-plan.ts'
import { shownFilters } from './shown-picture.ts'

export type HlsEncoding = {
  renditions: readonly HlsRendition[]
  /** The stream of the picture, as in `0:1`. */
  picture: string
  /** That of the sound; undefined without one. */
  sound: string | undefined
  isHdr: boolean
  seconds: number
  /** Frames per second of the source; null where they are not known. */
  fps: number | null
  /** Where the files go. */
  folder: string
}

/** Names of a rendition's files; each playlist refers to the file beside it. */
export const playlistName = ({ number }: Pick<HlsRendition, 'number'>): string => `hls-${number}.m3u8`
export const bytesName = ({ number }: Pick<HlsRendition, 'number'>): string => `hls-${number}.mp4`

const SEGMENT_SECONDS = 4
const MAX_FPS = 60
/** Used where the source has none. */
const USUAL_FPS = 30
/**
 * For every decoder and encoder, on every machine: six renditions of 4K then take 2.8 GB of address space, and two
 * workers produce the same files.
 */
export const HLS_THREADS = 2

/**
 * ffmpeg's options after the input: it is decoded once for all renditions. All have the same frames at the same times,
 * and segments begin at the same ones, so that a player can switch at each.
 */
export function hlsArguments(encoding: HlsEncoding, abilities: Abilities): string[] {
  return [
    ...['-filter_complex_threads', String(HLS_THREADS), '-filter_complex', filters(encoding, abilities)],
    ...encoding.renditions.flatMap((rendition) => outputOf(rendition, encoding)),
  ]
}

/** Filter labels: `v` and a number for what is encoded. */
const labels = (letter: string, renditions: readonly HlsRendition[]) =>
  renditions.map(({ number }) => `[${letter}${number}]`)

function filters({ renditions, fps, picture, isHdr }: HlsEncoding, abilities: Abilities): string {
  // At a constant rate, as sparse frames of a screen recording would make segments of any length. It lasts to the end
  // of the sound, because the playlist follows the picture.
  const rate = fps === null ? String(USUAL_FPS) : `'min(source_fps,${MAX_FPS})'`
  const common = `[${picture}]fps=${rate}:start_time=0,tpad=stop=-1:stop_mode=clone`
  const split = `split=${renditions.length}${labels('s', renditions).join('')}`
  const scales = renditions.map(
    ({ number, width, height }) =>
      `[s${number}]${shownFilters({ width, height, isHdr }, abilities)},format=yuv420p[v${number}]`,
  )
  return [`${common},${split}`, ...scales].join(';')
}

function outputOf(rendition: HlsRendition, { sound, seconds, folder }: HlsEncoding): string[] {
  const { number, maxBitrate, burstBits } = rendition
  const picture = ['-c:v', 'libx264', '-preset', 'veryfast', '-profile:v', 'high', '-crf', '23']
  const rate = ['-maxrate', String(maxBitrate), '-bufsize', String(burstBits)]
  // No key frames at scene changes: renditions would detect those at different frames.
  const keyFrames = [
    ...['-force_key_frames', `expr:gte(t,n_forced*${SEGMENT_SECONDS})`, '-sc_threshold', '0'],
    // With a lookahead thread of its own the output would depend on timing.
    ...['-threads', String(HLS_THREADS), '-x264-params', 'sync-lookahead=0'],
  ]
  // From the beginning to the end: a player stops where either picture or sound is missing.
  const soundOf = (stream: string) => [
    ...['-map', stream, '-af', 'aresample=async=1:first_pts=0,apad'],
    ...['-c:a', 'aac', '-ac', '2', '-ar', '48000', '-b:a', '128k'],
  ]
  // Phones record their location.
  const nothingElse = ['-map_metadata', '-1', '-map_chapters', '-1']
  return [
    ...[
      '-map',
      `[v${number}]`,
      ...picture,
      ...rate,
      ...keyFrames,
      ...(sound === undefined ? [] : soundOf(sound)),
    ],
    ...[...nothingElse, '-t', seconds.toFixed(3)],
    ...['-f', 'hls', '-hls_playlist_type', 'vod', '-hls_time', String(SEGMENT_SECONDS)],
    ...['-hls_segment_type', 'fmp4', '-hls_flags', 'single_file'],
    ...['-hls_segment_filename', join(folder, bytesName(rendition)), join(folder, playlistName(rendition))],
  ]
}
