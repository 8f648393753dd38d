/** One segment of a media playlist. */
export type Segment = { seconds: number; bytes: number }

/** What a media playlist contains. */
export type MediaPlaylist = {
  /** Bytes at the beginning of the file that every segment needs: codecs and tracks. */
  initBytes: number
  segments: Segment[]
  targetSeconds: number
}

/** A rendition in the master playlist. */
export type Variant = {
  /** Of its media playlist. */
  name: string
  width: number
  height: number
  /** As in RFC 6381. */
  codecs: string
  playlist: MediaPlaylist
}

/** Parses the playlist of one file as ffmpeg writes it. Undefined where it has no segments or no end. */
export function readMediaPlaylist(text: string): MediaPlaylist | undefined {
  const initBytes = Number(/^#EXT-X-MAP:.*BYTERANGE="(\d+)@0"/m.exec(text)?.[1] ?? 0)
  const targetSeconds = Number(/^#EXT-X-TARGETDURATION:(\d+)/m.exec(text)?.[1] ?? 0)
  const found = text.matchAll(/^#EXTINF:([\d.]+),.*\n#EXT-X-BYTERANGE:(\d+)@\d+$/gm)
  const segments = [...found].map(([, seconds, bytes]) => ({
    seconds: Number(seconds),
    bytes: Number(bytes),
  }))
  const isWhole = initBytes > 0 && targetSeconds > 0 && /^#EXT-X-ENDLIST$/m.test(text)
  return isWhole && secondsOf(segments) > 0 ? { initBytes, segments, targetSeconds } : undefined
}

export const secondsOf = (segments: readonly Segment[]): number =>
  segments.reduce((sum, { seconds }) => sum + seconds, 0)

const bytesOf = (segments: readonly Segment[]): number => segments.reduce((sum, { bytes }) => sum + bytes, 0)

const bitrateOf = (segments: readonly Segment[]): number =>
  Math.ceil((bytesOf(segments) * 8) / secondsOf(segments))

/**
 * Bits per second of the busiest stretch. Stretches last half a segment to one and a half (RFC 8216 § 4.3.4.2), so that
 * a last segment of a few frames is not one by itself.
 */
export function peakBitrate({ segments, targetSeconds }: MediaPlaylist): number {
  let peak = bitrateOf(segments)
  for (let from = 0; from < segments.length; from++) {
    for (let to = from + 1; to <= segments.length; to++) {
      const stretch = segments.slice(from, to)
      const seconds = secondsOf(stretch)
      if (seconds > targetSeconds * 1.5) break
      if (seconds >= targetSeconds * 0.5) peak = Math.max(peak, bitrateOf(stretch))
    }
  }
  return peak
}

/** The master playlist, in the order of the variants. */
export function masterPlaylist(variants: readonly Variant[]): string {
  const entries = variants.map(({ name, width, height, codecs, playlist }) => {
    const attributes = [
      `BANDWIDTH=${peakBitrate(playlist)}`,
      `AVERAGE-BANDWIDTH=${bitrateOf(playlist.segments)}`,
      `RESOLUTION=${width}x${height}`,
      `CODECS="${codecs}"`,
    ]
    return `#EXT-X-STREAM-INF:${attributes.join(',')}\n${name}\n`
  })
  return ['#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n', ...entries].join('')
}

/**
 * The codecs of a rendition, from its first bytes (ISO 14496-15 § 5.3.3: `avcC` begins with its version, profile,
 * compatibility and level). Undefined where there is no H.264 in it.
 */
export function codecsOf(init: Buffer): string | undefined {
  const configuration = init.indexOf('avcC')
  if (configuration < 0) return undefined
  const video = `avc1.${init.subarray(configuration + 5, configuration + 8).toString('hex')}`
  return init.includes('mp4a') ? `${video},mp4a.40.2` : video
}
