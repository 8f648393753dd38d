/** `document` and `file` are not looked into: they are scanned, hashed and served as attachments. */
export type MediaKind = 'image' | 'video' | 'audio' | 'document' | 'file'

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
const ASF = { family: 'asf', demuxers: ['asf'] } as const

const format = (
  kind: MediaKind,
  contentType: string,
  extensions: readonly string[],
  more: Partial<Omit<Format, 'contentType' | 'kind' | 'extensions'>> = {},
): Format => ({ contentType, kind, extensions, aliases: [], family: contentType, demuxers: [], ...more })

/** All formats of media; the configuration selects. */
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
  format('video', 'video/mp2t', ['ts', 'mts', 'm2ts', 'm2t', 'trp'], {
    aliases: ['video/m2ts', 'video/mpeg2-ts', 'video/vnd.dlna.mpeg-tts', 'video/avchd-stream'],
    demuxers: ['mpegts'],
  }),
  format('video', 'video/mpeg', ['mpg', 'mpeg', 'mpe', 'vob', 'm2p', 'mod'], {
    aliases: ['video/mp1s', 'video/mp2p', 'video/mpg', 'video/x-mpeg', 'video/dvd', 'video/x-ms-vob'],
    demuxers: ['mpeg', 'mpegvideo'],
  }),
  format('video', 'video/x-ms-wmv', ['wmv', 'asf', 'wm'], {
    aliases: ['video/x-ms-asf', 'application/vnd.ms-asf', 'video/x-ms-wm'],
    counterpart: 'audio/x-ms-wma',
    ...ASF,
  }),
  format('video', 'video/x-flv', ['flv'], { aliases: ['video/flv'], demuxers: ['flv'] }),
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
  format('image', 'image/heic', ['heic', 'heif', 'hif'], {
    aliases: ['image/heif', 'image/x-heic', 'image/x-heif'],
  }),
  format('image', 'image/tiff', ['tif', 'tiff'], { aliases: ['image/tif', 'image/x-tiff', 'image/x-tif'] }),
  format('image', 'image/bmp', ['bmp', 'dib'], {
    aliases: ['image/x-bmp', 'image/x-ms-bmp', 'image/x-windows-bmp'],
    demuxers: ['bmp_pipe'],
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
  format('audio', 'audio/aiff', ['aif', 'aiff', 'aifc'], {
    aliases: ['audio/x-aiff', 'sound/aiff', 'audio/x-pn-aiff'],
    demuxers: ['aiff'],
  }),
  format('audio', 'audio/x-ms-wma', ['wma'], {
    aliases: ['audio/x-ms-asf', 'audio/wma'],
    counterpart: 'video/x-ms-wmv',
    ...ASF,
  }),
  format('audio', 'audio/ac3', ['ac3', 'eac3', 'ec3'], {
    aliases: ['audio/vnd.dolby.dd-raw', 'audio/x-ac3', 'audio/eac3'],
    demuxers: ['ac3', 'eac3'],
  }),
  format('audio', 'audio/amr', ['amr', 'awb'], {
    aliases: ['audio/amr-wb', 'audio/3gpp-amr', 'audio/x-amr'],
    demuxers: ['amr'],
  }),
  format('audio', 'audio/x-caf', ['caf'], { aliases: ['audio/caf'], demuxers: ['caf'] }),
]

const OOXML = 'application/vnd.openxmlformats-officedocument'
const ODF = 'application/vnd.oasis.opendocument'
/** Binary files of old office programs, whose first bytes are the same. */
const CFB = { family: 'cfb' } as const
/** Their first bytes say nothing: they are what they are called. */
const TEXT = { family: 'text' } as const

/** Other files with names and types of their own. Anything else may be accepted, too: see `accepted-types.ts`. */
export const DOCUMENTS: readonly Format[] = [
  format('document', 'application/pdf', ['pdf'], { aliases: ['application/x-pdf'] }),
  format('document', 'text/plain', ['txt', 'text', 'log'], TEXT),
  format('document', 'text/csv', ['csv'], { aliases: ['application/csv', 'text/x-csv'], ...TEXT }),
  format('document', 'text/markdown', ['md', 'markdown'], { aliases: ['text/x-markdown'], ...TEXT }),
  format('document', 'application/json', ['json'], { aliases: ['text/json'], ...TEXT }),
  format('document', 'application/rtf', ['rtf'], { aliases: ['text/rtf'] }),
  format('document', `${OOXML}.wordprocessingml.document`, ['docx']),
  format('document', `${OOXML}.spreadsheetml.sheet`, ['xlsx']),
  format('document', `${OOXML}.presentationml.presentation`, ['pptx']),
  format('document', `${ODF}.text`, ['odt']),
  format('document', `${ODF}.spreadsheet`, ['ods']),
  format('document', `${ODF}.presentation`, ['odp']),
  format('document', 'application/epub+zip', ['epub']),
  format('document', 'application/msword', ['doc', 'dot'], CFB),
  format('document', 'application/vnd.ms-excel', ['xls'], CFB),
  format('document', 'application/vnd.ms-powerpoint', ['ppt'], CFB),
  format('file', 'application/zip', ['zip'], {
    aliases: ['application/x-zip-compressed', 'application/x-zip'],
  }),
  format('file', 'application/gzip', ['gz', 'tgz'], { aliases: ['application/x-gzip'] }),
  format('file', 'application/x-tar', ['tar']),
  format('file', 'application/x-7z-compressed', ['7z']),
  format('file', 'application/x-rar-compressed', ['rar'], { aliases: ['application/vnd.rar'] }),
]

/** Everything that has a name here. */
export const KNOWN: readonly Format[] = [...FORMATS, ...DOCUMENTS]

/** A file of any other media type. */
export const fileOf = (contentType: string): Format =>
  format(contentType.startsWith('text/') ? 'document' : 'file', contentType, [])

/** The format a media type stands for, parameters ignored. */
export function formatOfType(formats: readonly Format[], mediaType: string): Format | undefined {
  const full = mediaType.trim().toLowerCase()
  const bare = full.split(';', 1)[0]?.trim() ?? ''
  return formats.find((f) => f.contentType === bare || f.aliases.includes(bare) || f.aliases.includes(full))
}

/**
 * The format of a container by its streams: with a picture it is the video format, without one the sound format. Where
 * the container has but one, it is that.
 */
export function formatByStreams(format: Format, hasPicture: boolean): Format {
  const isSo = (format.kind === 'video') === hasPicture
  return (isSo ? undefined : FORMATS.find((other) => other.contentType === format.counterpart)) ?? format
}

/** The extension of a file name in lower case, without the dot; undefined when it has none. */
export function extensionOf(filename: string): string | undefined {
  return /[^.]\.([A-Za-z0-9]{1,10})$/.exec(filename)?.[1]?.toLowerCase()
}

/** The format a file name claims to be. */
export function formatOfName(formats: readonly Format[], filename: string): Format | undefined {
  const extension = extensionOf(filename)
  return extension === undefined ? undefined : formats.find((f) => f.extensions.includes(extension))
}

const AMBIGUOUS = ['video/mp2t', 'video/mpeg']

/**
 * Whether a file of this format must not be called what it is called. Programs name pictures by the formats of other
 * pictures, and sounds and videos by each other's, which harms nobody; but what is called a picture has to be one. The
 * name of a document promises nothing that anybody would run or show.
 */
export function contradicts(claimed: Format, actual: Format): boolean {
  if (claimed.kind === 'document' || claimed.kind === 'file') return false
  // Programs in TypeScript have names, and by some browsers types, of transport streams; modules in Go those of MPEG.
  if (AMBIGUOUS.includes(claimed.contentType) && actual.family === 'text') return false
  return groupOf(claimed) !== groupOf(actual)
}

const groupOf = ({ kind }: Format) => (kind === 'audio' ? 'video' : kind === 'document' ? 'file' : kind)

/** The name of a file whose content is of this format, with its extension where the name has that of another. */
export function correctedName(filename: string | null, format: Format): string | null {
  if (filename === null) return null
  const named = formatOfName(FORMATS, filename)
  if (!named || named.family === format.family) return filename
  return `${filename.slice(0, filename.lastIndexOf('.'))}.${format.extensions[0]}`
}
