import { type Feed, type Picture, Unreadable, type Walk } from './header-walk.ts'

/** `end` is an offset in the file; infinite for a box that has no end. */
export type Box = { type: string; end: number }

type Movie = {
  durationSeconds: number | undefined
  matrix: Matrix
  tracks: Track[]
  /** Ids of tracks that hold the pictures or titles of chapters. */
  chapterTracks: Set<number>
}

type Track = {
  id: number
  handler: string
  matrix: Matrix
  coded: Picture
  seconds: number | undefined
  isEncrypted: boolean
}

/** Sample entries of encrypted tracks: Common Encryption (ISO 23001-7 § 4.1), and that of a music shop. */
const ENCRYPTED = ['encv', 'enca', 'enct', 'encs', 'drms', 'drmi', 'drmt']

/** The part of a transformation that rotates and scales: a b / c d. */
type Matrix = readonly [a: number, b: number, c: number, d: number]

const HEADER_BYTES = 8
const IDENTITY: Matrix = [1, 0, 0, 1]
const MAX_TRACKS = 64
const MAX_CHAPTER_TRACKS = 64
/** Handlers that ffmpeg treats as video; the last two are for image sequences and for depth or alpha. */
const VISUAL_HANDLERS = ['vide', 'pict', 'auxv']
/** ffmpeg counts microseconds in 63 bits and drops what is longer. */
const MAX_SECONDS = 2 ** 63 / 1e6

/** Reads the index (`moov`) of an mp4 or QuickTime file (ISO 14496-12) where it precedes the media data. */
export const walkIsobmff = (feed: Feed): Walk => walkToIndex(feed, ['mdat', 'moof'])

/** The same wherever the index is, for files that can be read anywhere. */
export const walkWholeIsobmff = (feed: Feed): Walk => walkToIndex(feed, [])

/** All facts become known at the end of the index: only then is it certain which tracks count. */
function* walkToIndex(feed: Feed, stops: readonly string[]): Walk {
  const moov = yield* walkToBox(feed, 'moov', stops)
  if (!moov) return
  const movie = yield* readMovie(feed, moov)
  const isEncrypted = movie.tracks.some((track) => track.isEncrypted)
  feed.facts = { durationSeconds: movie.durationSeconds, pictures: picturesOf(movie), isEncrypted }
}

/** The first box of this type at the top level, unless one of `stops` precedes it. */
export function* walkToBox(feed: Feed, type: string, stops: readonly string[]): Walk<Box | undefined> {
  for (;;) {
    const box = yield* readBoxHeader(feed, Number.POSITIVE_INFINITY)
    if (stops.includes(box.type)) return undefined
    if (box.type === type) return box
    yield* feed.skipTo(box.end)
  }
}

function* readMovie(feed: Feed, moov: Box): Walk<Movie> {
  const movie: Movie = { durationSeconds: undefined, matrix: IDENTITY, tracks: [], chapterTracks: new Set() }
  let isFragmented = false
  yield* walkBoxes(feed, moov, function* (box) {
    if (box.type === 'mvex') isFragmented = true
    if (box.type === 'mvhd') yield* readMovieHeader(feed, box, movie)
    if (box.type === 'trak') yield* readTrack(feed, box, movie)
  })
  // What fragments hold is not known yet.
  return { ...movie, durationSeconds: isFragmented ? undefined : secondsOf(movie) }
}

/** The movie header may be wrong, and edit lists may leave out some of a track: the shorter duration is certain. */
function secondsOf({ durationSeconds, tracks }: Movie): number | undefined {
  const ofTracks = tracks.flatMap(({ seconds }) => seconds ?? [])
  if (durationSeconds === undefined || ofTracks.length === 0) return durationSeconds
  return Math.min(durationSeconds, Math.max(...ofTracks))
}

/** ISO 14496-12 § 8.2.2. */
function* readMovieHeader(feed: Feed, box: Box, movie: Movie): Walk {
  const isLong = (yield* readVersion(feed, box)) === 1
  const fields = yield* takeWithin(feed, box, isLong ? 80 : 68)
  movie.durationSeconds = readSeconds(fields, isLong)
  movie.matrix = readMatrix(fields, isLong ? 44 : 32)
}

/** Both headers begin with two dates, a timescale and a duration. Undefined where the duration is not known. */
function readSeconds(fields: Buffer, isLong: boolean): number | undefined {
  const timescale = fields.readUInt32BE(isLong ? 16 : 8)
  const duration = isLong ? Number(fields.readBigUInt64BE(20)) : fields.readUInt32BE(12)
  const seconds = duration / timescale
  // 0 and all ones mean unknown; ffmpeg reads ticks and their scale as signed numbers.
  const isSaid = duration > 0 && duration < (isLong ? 2 ** 63 : 2 ** 32 - 1)
  return isSaid && timescale < 2 ** 31 && seconds < MAX_SECONDS ? seconds : undefined
}

function* readTrack(feed: Feed, trak: Box, movie: Movie): Walk {
  if (movie.tracks.length >= MAX_TRACKS) throw new Unreadable('has too many tracks')
  const track: Track = {
    id: 0,
    handler: '',
    matrix: IDENTITY,
    coded: { width: 0, height: 0 },
    seconds: undefined,
    isEncrypted: false,
  }
  movie.tracks.push(track)
  yield* walkBoxes(feed, trak, function* (box) {
    if (box.type === 'tkhd') yield* readTrackHeader(feed, box, track)
    if (box.type === 'tref') yield* readReferences(feed, box, movie.chapterTracks)
    if (box.type === 'mdia') yield* readMedia(feed, box, track)
  })
}

/** ISO 14496-12 § 8.3.2. */
function* readTrackHeader(feed: Feed, box: Box, track: Track): Walk {
  const isLong = (yield* readVersion(feed, box)) === 1
  const fields = yield* takeWithin(feed, box, isLong ? 84 : 72)
  track.id = fields.readUInt32BE(isLong ? 16 : 8)
  track.matrix = readMatrix(fields, isLong ? 48 : 36)
}

function* readReferences(feed: Feed, tref: Box, chapterTracks: Set<number>): Walk {
  yield* walkBoxes(feed, tref, function* (box) {
    if (box.type !== 'chap') return
    while (feed.offset + 4 <= box.end) {
      if (chapterTracks.size >= MAX_CHAPTER_TRACKS) throw new Unreadable('has too many tracks for chapters')
      feed.countElement()
      chapterTracks.add((yield* feed.take(4)).readUInt32BE())
    }
  })
}

function* readMedia(feed: Feed, mdia: Box, track: Track): Walk {
  yield* walkBoxes(feed, mdia, function* (box) {
    if (box.type === 'hdlr') track.handler = (yield* takeWithin(feed, box, 12)).toString('latin1', 8)
    if (box.type === 'mdhd') yield* readMediaHeader(feed, box, track)
    if (box.type === 'minf') yield* walkBoxes(feed, box, readMediaInformation)
  })
  function* readMediaInformation(box: Box): Walk {
    if (box.type === 'stbl') yield* walkBoxes(feed, box, readSampleTable)
  }
  function* readSampleTable(box: Box): Walk {
    if (box.type === 'stsd') yield* readSampleDescription(feed, box, track)
  }
}

/** ISO 14496-12 § 8.4.2. */
function* readMediaHeader(feed: Feed, box: Box, track: Track): Walk {
  const isLong = (yield* readVersion(feed, box)) === 1
  track.seconds = readSeconds(yield* takeWithin(feed, box, isLong ? 28 : 16), isLong)
}

/** ISO 14496-12 § 8.5.2 and § 12.1.3: type and size in the first entry. Entries of sound may be shorter. */
function* readSampleDescription(feed: Feed, box: Box, track: Track): Walk {
  if (box.end - feed.offset < 16) return
  const start = yield* feed.take(16)
  track.isEncrypted = ENCRYPTED.includes(start.toString('latin1', 12, 16))
  if (box.end - feed.offset < 28) return
  const fields = yield* feed.take(28)
  track.coded = { width: fields.readUInt16BE(24), height: fields.readUInt16BE(26) }
}

export function* walkBoxes(feed: Feed, parent: Box, enter: (box: Box) => Walk): Walk {
  // Fewer bytes than a header at the end are padding, which QuickTime allows.
  while (feed.offset + HEADER_BYTES <= parent.end) {
    const box = yield* readBoxHeader(feed, parent.end)
    yield* enter(box)
    yield* feed.skipTo(box.end)
  }
  yield* feed.skipTo(parent.end)
}

/** ISO 14496-12 § 4.2. Size 1: a 64-bit size follows; size 0: the box extends to the end. */
function* readBoxHeader(feed: Feed, parentEnd: number): Walk<Box> {
  feed.countElement()
  const start = feed.offset
  const header = yield* feed.take(HEADER_BYTES)
  const type = header.toString('latin1', 4)
  const short = header.readUInt32BE()
  const size = short === 1 ? Number((yield* feed.take(8)).readBigUInt64BE()) : short
  const end = short === 0 ? parentEnd : start + size
  if (end < feed.offset || end > parentEnd) throw new Unreadable('has a box of an impossible size')
  return { type, end }
}

function* readVersion(feed: Feed, box: Box): Walk<number> {
  return (yield* takeWithin(feed, box, 4)).readUInt8()
}

export function* takeWithin(feed: Feed, box: Box, bytes: number): Walk<Buffer> {
  if (feed.offset + bytes > box.end) throw new Unreadable(`has a short ${box.type}`)
  return yield* feed.take(bytes)
}

/** Fixed point 16.16; the third number of each row, for the perspective, is left out. */
function readMatrix(fields: Buffer, at: number): Matrix {
  const number = (index: number) => fields.readInt32BE(at + index * 4) / 0x10000
  return [number(0), number(1), number(3), number(4)]
}

/** The video tracks as shown, without chapter pictures, which ffprobe does not count. */
function picturesOf({ tracks, matrix, chapterTracks }: Movie): Picture[] {
  return tracks
    .filter((track) => VISUAL_HANDLERS.includes(track.handler) && !chapterTracks.has(track.id))
    .map((track) =>
      isTurned(track.matrix, matrix) ? { width: track.coded.height, height: track.coded.width } : track.coded,
    )
}

/** Whether track and movie together rotate a picture by a quarter turn, by ffprobe's rule, which drops fractions. */
function isTurned([a, b, c, d]: Matrix, movie: Matrix): boolean {
  const [x, y] = [a * movie[0] + b * movie[2], a * movie[1] + b * movie[3]]
  const [z, w] = [c * movie[0] + d * movie[2], c * movie[1] + d * movie[3]]
  // Each side has its own scale. With a scale of zero there is no angle, but NaN.
  const angle = Math.atan2(y / Math.hypot(y, w), x / Math.hypot(x, z))
  return Math.trunc(Math.abs((angle * 180) / Math.PI)) % 180 === 90
}
