import { type Feed, type HeaderFacts, type Picture, Unreadable, type Walk } from './header-walk.ts'

/** `end` is an offset in the file; infinite where the size is not known. */
type Element = { id: number; end: number }

/** RFC 9559 § 5.1, and RFC 8794 § 8.1 for the first. */
const ID = {
  ebml: 0x1a45dfa3,
  segment: 0x18538067,
  cluster: 0x1f43b675,
  info: 0x1549a966,
  timestampScale: 0x2ad7b1,
  duration: 0x4489,
  tracks: 0x1654ae6b,
  trackEntry: 0xae,
  trackType: 0x83,
  contentEncodings: 0x6d80,
  contentEncoding: 0x6240,
  contentEncryption: 0x5035,
  video: 0xe0,
  pixelWidth: 0xb0,
  pixelHeight: 0xba,
  projection: 0x7670,
  projectionPoseRoll: 0x7675,
} as const

const VIDEO_TRACK = 1
const MAX_TRACKS = 64
const DEFAULT_TIMESTAMP_SCALE_NS = 1_000_000
/** ffmpeg counts microseconds in 63 bits. */
const MAX_SECONDS = 2 ** 63 / 1e6

/** Reads duration and tracks of a Matroska or WebM file (RFC 9559), as far as they precede the media data. */
export function* walkMatroska(feed: Feed): Walk {
  const header = yield* readElementHeader(feed, Number.POSITIVE_INFINITY)
  if (header.id !== ID.ebml) throw new Unreadable('does not start like Matroska')
  yield* feed.skipTo(header.end)
  for (;;) {
    const element = yield* readElementHeader(feed, Number.POSITIVE_INFINITY)
    if (element.id === ID.segment) return yield* readSegment(feed, element)
    yield* feed.skipTo(element.end)
  }
}

function* readSegment(feed: Feed, segment: Element): Walk {
  const unread = new Set<number>([ID.info, ID.tracks])
  while (unread.size > 0 && feed.offset < segment.end) {
    const element = yield* readElementHeader(feed, segment.end)
    if (element.id === ID.cluster) return
    if (element.id === ID.info) {
      feed.facts = { ...feed.facts, durationSeconds: yield* readInfo(feed, element) }
    }
    if (element.id === ID.tracks) {
      feed.facts = { ...feed.facts, ...(yield* readTracks(feed, element)) }
    }
    unread.delete(element.id)
    yield* feed.skipTo(element.end)
  }
}

/** Seconds; undefined without one, as in a live recording. */
function* readInfo(feed: Feed, info: Element): Walk<number | undefined> {
  let scale = DEFAULT_TIMESTAMP_SCALE_NS
  let duration = 0
  yield* walkElements(feed, info, function* (element) {
    if (element.id === ID.timestampScale) scale = (yield* readUnsigned(feed, element)) ?? scale
    if (element.id === ID.duration) duration = (yield* readFloat(feed, element)) ?? duration
  })
  const seconds = (duration * scale) / 1e9
  return seconds > 0 && seconds < MAX_SECONDS ? seconds : undefined
}

function* readTracks(feed: Feed, tracks: Element): Walk<Pick<HeaderFacts, 'pictures' | 'isEncrypted'>> {
  const pictures: Picture[] = []
  let isEncrypted = false
  let count = 0
  yield* walkElements(feed, tracks, function* (element) {
    if (element.id !== ID.trackEntry) return
    count += 1
    if (count > MAX_TRACKS) throw new Unreadable('has too many tracks')
    const track = yield* readTrackEntry(feed, element)
    if (track.picture) pictures.push(track.picture)
    isEncrypted ||= track.isEncrypted
  })
  return { pictures, isEncrypted }
}

type Track = { picture: Picture | undefined; isEncrypted: boolean }

function* readTrackEntry(feed: Feed, entry: Element): Walk<Track> {
  let type: number | undefined
  let isEncrypted = false
  let picture: Picture = { width: 0, height: 0 }
  yield* walkElements(feed, entry, function* (element) {
    if (element.id === ID.trackType) type = yield* readUnsigned(feed, element)
    if (element.id === ID.video) picture = yield* readVideo(feed, element)
    if (element.id === ID.contentEncodings) isEncrypted ||= yield* readIsEncrypted(feed, element)
  })
  return { picture: type === VIDEO_TRACK ? picture : undefined, isEncrypted }
}

/** RFC 9559 § 5.1.4.1.31.8: encodings compress or encrypt a track. */
function* readIsEncrypted(feed: Feed, encodings: Element): Walk<boolean> {
  let isEncrypted = false
  yield* walkElements(feed, encodings, function* (encoding) {
    if (encoding.id !== ID.contentEncoding) return
    yield* walkElements(feed, encoding, function* (element) {
      isEncrypted ||= element.id === ID.contentEncryption
      yield* []
    })
  })
  return isEncrypted
}

function* readVideo(feed: Feed, video: Element): Walk<Picture> {
  const picture = { width: 0, height: 0 }
  let isRolled = false
  yield* walkElements(feed, video, function* (element) {
    if (element.id === ID.pixelWidth) picture.width = (yield* readUnsigned(feed, element)) ?? 0
    if (element.id === ID.pixelHeight) picture.height = (yield* readUnsigned(feed, element)) ?? 0
    if (element.id === ID.projection) isRolled ||= yield* readIsRolled(feed, element)
  })
  // Whether a rolled picture is shown rotated depends on the version of ffmpeg.
  return isRolled ? { width: 0, height: 0 } : picture
}

function* readIsRolled(feed: Feed, projection: Element): Walk<boolean> {
  let roll = 0
  yield* walkElements(feed, projection, function* (element) {
    if (element.id === ID.projectionPoseRoll) roll = (yield* readFloat(feed, element)) ?? 0
  })
  return roll !== 0
}

function* walkElements(feed: Feed, parent: Element, enter: (element: Element) => Walk): Walk {
  // Only a segment and a cluster may have an unknown size (RFC 9559 § 5.1).
  if (parent.end === Number.POSITIVE_INFINITY) throw new Unreadable('has an element without an end')
  while (feed.offset < parent.end) {
    const element = yield* readElementHeader(feed, parent.end)
    yield* enter(element)
    yield* feed.skipTo(element.end)
  }
}

/** RFC 8794 § 5 and § 6: an id of up to 4 bytes with its length marker, then a size of up to 8 without. */
function* readElementHeader(feed: Feed, parentEnd: number): Walk<Element> {
  feed.countElement()
  const id = yield* readVariable(feed, 4)
  const size = yield* readVariable(feed, 8)
  const isOpen = size.value === 2 ** (7 * size.length) - 1
  const end = isOpen ? Number.POSITIVE_INFINITY : feed.offset + size.value
  if (feed.offset > parentEnd || (!isOpen && end > parentEnd)) {
    throw new Unreadable('has an element that reaches out of its parent')
  }
  return { id: id.value + 2 ** (7 * id.length), end }
}

/** RFC 8794 § 4. The leading zeros of the first byte give the length; the value follows the first one. */
function* readVariable(feed: Feed, maxLength: number): Walk<{ value: number; length: number }> {
  const first = (yield* feed.take(1)).readUInt8()
  const length = Math.clz32(first) - 23
  if (length > maxLength) throw new Unreadable('has a number of an impossible length')
  const rest = yield* feed.take(length - 1)
  // Beyond 2^53 the value is rounded: either impossibly large, or "unknown size".
  const value = rest.reduce((sum, byte) => sum * 256 + byte, first - 2 ** (8 - length))
  return { value, length }
}

/** Undefined for an empty element, which has its default, and for one that is too long. */
function* readUnsigned(feed: Feed, element: Element): Walk<number | undefined> {
  const bytes = element.end - feed.offset
  if (bytes < 1 || bytes > 6) return undefined
  return (yield* feed.take(bytes)).readUIntBE(0, bytes)
}

function* readFloat(feed: Feed, element: Element): Walk<number | undefined> {
  const bytes = element.end - feed.offset
  if (bytes === 4) return (yield* feed.take(4)).readFloatBE()
  if (bytes === 8) return (yield* feed.take(8)).readDoubleBE()
  return undefined
}
