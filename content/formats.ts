export type MediaKind = 'image' | 'video' | 'audio'

/** A kind of file that Landfall can receive, with all of its names. */
export type Format = {
  /** The type after identification, with which the file is served. */
  contentType: string
  kind: MediaKind
  /** Lower case, without the dot; the first is the usual one. */
  extensions: readonly string[]
  /** Other media types that clients declare or detectors report for it. */
  aliases: readonly string[]
  /** Containers that differ by a brand only; name and bytes may have different ones. */
  family: string
  /** For sound: the video format of the same container. For video: the sound format. First bytes do not tell them apart. */
  counterpart?: string
  /** ffmpeg demuxers that may open it; empty where ffmpeg is not used. */
  demuxers: readonly string[]
}

const ISOBMFF = { family: 'isobmff', demuxers: ['mov', 'mp4', 'm4a', '3gp', '3g2', 'mj2'] } as const
const OGG = { family: 'ogg', demuxers: ['ogg'] } as const
const MATROSKA = { family: 'matroska', demuxers: ['matroska', 'webm'] } as const

const format = (
  kind: MediaKind,
  contentType: string,
  extensions: readonly string[],
  more: Partial<Omit<Format, 'contentType' | 'kind' | 'extensions'>> = {},
): Format => ({ contentType, kind, extensions, aliases: [], family: contentType, demuxers: [], ...more })

/** All formats that can be allowed; the configuration selects. */
export const FORMATS: readonly Format[] = [
  format('video', 'video/mp4', ['mp4', 'm4v', 'f4v', '3gp', '3gpp', '3g2', '3gp2'], {
    aliases: [
      'video/x-m4v',
      'application/mp4',
      'video/mpeg4',
      'video/x-mp4',
      'video/3gpp',
      'video/3gpp2',
      'video/x-f4v',
    ],
    counterpart: 'audio/mp4',
    ...ISOBMFF,
  }),
  format('video', 'video/quicktime', ['mov', 'qt'], { counterpart: 'audio/mp4', ...ISOBMFF }),
  format('video', 'video/webm', ['webm'], { counterpart: 'audio/webm', ...MATROSKA }),
  format('video', 'video/x-matroska', ['mkv', 'mk3d'], {
    aliases: ['video/matroska', 'video/mkv', 'application/x-matroska'],
    counterpart: 'audio/x-matroska',
    ...MATROSKA,
  }),
  format('video', 'video/x-msvideo', ['avi', 'divx'], {
    aliases: ['video/vnd.avi', 'video/avi', 'video/msvideo', 'application/x-troff-msvideo'],
    demuxers: ['avi'],
  }),
  format('video', 'video/ogg', ['ogv', 'ogm'], {
    aliases: ['video/x-ogg'],
    counterpart: 'audio/ogg',
    ...OGG,
  }),
  format('image', 'image/jpeg', ['jpg', 'jpeg', 'jpe', 'jfif', 'jif', 'pjpeg', 'pjp'], {
    aliases: ['image/jpg', 'image/pjpeg', 'image/x-citrix-jpeg'],
  }),
  format('image', 'image/png', ['png', 'apng'], {
    aliases: ['image/apng', 'image/x-png', 'image/vnd.mozilla.apng', 'image/x-citrix-png'],
  }),
  format('image', 'image/webp', ['webp'], { aliases: ['image/x-webp'] }),
  format('image', 'image/gif', ['gif'], { aliases: ['image/x-gif'] }),
  format('image', 'image/avif', ['avif', 'avifs'], {
    aliases: ['image/avif-sequence'],
    demuxers: ISOBMFF.demuxers,
  }),
  format('audio', 'audio/mpeg', ['mp3', 'mpga'], {
    aliases: [
      'audio/mp3',
      'audio/x-mp3',
      'audio/mpeg3',
      'audio/x-mpeg-3',
      'audio/x-mpeg',
      'audio/mpg',
      'audio/x-mpg',
    ],
    demuxers: ['mp3'],
  }),
  format('audio', 'audio/mp4', ['m4a', 'm4b', 'f4a'], {
    aliases: ['audio/x-m4a', 'audio/m4a', 'audio/x-m4b', 'audio/mp4a-latm', 'audio/3gpp', 'audio/3gpp2'],
    counterpart: 'video/mp4',
    ...ISOBMFF,
  }),
  format('audio', 'audio/webm', ['weba'], { counterpart: 'video/webm', ...MATROSKA }),
  format('audio', 'audio/x-matroska', ['mka'], {
    aliases: ['audio/matroska'],
    counterpart: 'video/x-matroska',
    ...MATROSKA,
  }),
  format('audio', 'audio/wav', ['wav', 'wave', 'bwf'], {
    aliases: ['audio/x-wav', 'audio/wave', 'audio/vnd.wave', 'audio/x-pn-wav'],
    demuxers: ['wav'],
  }),
  format('audio', 'audio/ogg', ['ogg', 'oga', 'opus', 'spx'], {
    aliases: ['application/ogg', 'audio/opus', 'audio/x-ogg', 'audio/vorbis', 'audio/ogg; codecs=opus'],
    counterpart: 'video/ogg',
    ...OGG,
  }),
  format('audio', 'audio/flac', ['flac'], { aliases: ['audio/x-flac'], demuxers: ['flac'] }),
  format('audio', 'audio/aac', ['aac', 'adts'], {
    aliases: ['audio/x-aac', 'audio/aacp', 'audio/vnd.dlna.adts', 'audio/x-hx-aac-adts'],
    demuxers: ['aac'],
  }),
]

/** The format a media type stands for, parameters ignored. */
export function formatOfType(formats: readonly Format[], mediaType: string): Format | undefined {
  const full = mediaType.trim().toLowerCase()
  const bare = full.split(';', 1)[0]?.trim() ?? ''
  return formats.find((f) => f.contentType === bare || f.aliases.includes(bare) || f.aliases.includes(full))
}

/**
 * The format of a container by its streams: with a picture it is the video format, without one the sound format.
 * Undefined where the container has no such format.
 */
export function formatByStreams(format: Format, hasPicture: boolean): Format | undefined {
  if (format.kind === 'image' || (format.kind === 'video') === hasPicture) return format
  return FORMATS.find((other) => other.contentType === format.counterpart)
}

/** Whether a file that begins like this format may turn out to be of an accepted one, once its streams are known. */
export const mayBeAccepted = (allowed: readonly Format[], format: Format): boolean =>
  allowed.some((one) => one === format || one.contentType === format.counterpart)

/** The extension of a file name in lower case, without the dot; undefined when it has none. */
export function extensionOf(filename: string): string | undefined {
  return /[^.]\.([A-Za-z0-9]{1,10})$/.exec(filename)?.[1]?.toLowerCase()
}

/** The format a file name claims to be. */
export function formatOfName(formats: readonly Format[], filename: string): Format | undefined {
  const extension = extensionOf(filename)
  return extension === undefined ? undefined : formats.find((f) => f.extensions.includes(extension))
}

/**
 * Whether two formats are pictures alike, or sounds and videos alike. Programs take one for another by their names
 * alone, which harms nobody.
 */
export const isAlike = (a: Format, b: Format): boolean => (a.kind === 'image') === (b.kind === 'image')

/** The name of a file whose content is of this format, with its extension where the name has that of another. */
export function correctedName(filename: string, format: Format): string {
  const named = formatOfName(FORMATS, filename)
  if (!named || named.family === format.family) return filename
  return `${filename.slice(0, filename.lastIndexOf('.'))}.${format.extensions[0]}`
}
