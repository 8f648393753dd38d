import { type Feed, type Picture, Unreadable, type Walk } from './header-walk.ts'
import { type Box, takeWithin, walkBoxes, walkToBox } from './isobmff.ts'

// The size of an image by its first bytes, as stored.

/** PNG § 11.2.2: the header is the first chunk. */
export function* walkPng(feed: Feed): Walk {
  const header = yield* feed.take(24)
  if (header.toString('latin1', 12, 16) !== 'IHDR') throw new Unreadable('has another first chunk')
  tell(feed, { width: header.readUInt32BE(16), height: header.readUInt32BE(20) })
}

/** RFC 9649 § 2.5 to 2.7: by the kind of the first chunk. */
export function* walkWebp(feed: Feed): Walk {
  const header = yield* feed.take(30)
  switch (header.toString('latin1', 12, 16)) {
    case 'VP8X':
      return tell(feed, { width: header.readUIntLE(24, 3) + 1, height: header.readUIntLE(27, 3) + 1 })
    case 'VP8L': {
      const bits = header.readUInt32LE(21)
      return tell(feed, { width: (bits & 0x3fff) + 1, height: ((bits >>> 14) & 0x3fff) + 1 })
    }
    case 'VP8 ':
      return tell(feed, { width: header.readUInt16LE(26) & 0x3fff, height: header.readUInt16LE(28) & 0x3fff })
    default:
      throw new Unreadable('has an unknown first chunk')
  }
}

const START_OF_SCAN = 0xda
/** Not start of frame: Huffman tables, JPEG extensions, arithmetic conditioning. */
const NO_FRAMES = [0xc4, 0xc8, 0xcc]

/** ITU T.81 § B.2.2: the frame header follows tables and metadata. */
export function* walkJpeg(feed: Feed): Walk {
  yield* feed.take(2)
  for (;;) {
    feed.countElement()
    const marker = yield* nextMarker(feed)
    if (marker === START_OF_SCAN) return
    const length = (yield* feed.take(2)).readUInt16BE()
    const end = feed.offset - 2 + length
    if (marker >= 0xc0 && marker <= 0xcf && !NO_FRAMES.includes(marker)) {
      const frame = yield* feed.take(5)
      return tell(feed, { width: frame.readUInt16BE(3), height: frame.readUInt16BE(1) })
    }
    if (length < 2) throw new Unreadable('has a segment of an impossible length')
    yield* feed.skipTo(end)
  }
}

/** Fill bytes may precede a marker (§ B.1.1.2). */
function* nextMarker(feed: Feed): Walk<number> {
  if ((yield* feed.take(1)).readUInt8() !== 0xff) throw new Unreadable('has no marker')
  for (;;) {
    feed.countElement()
    const marker = (yield* feed.take(1)).readUInt8()
    if (marker !== 0xff) return marker
  }
}

/** The core header has 16 bits for a side, the later ones 32, negative where the picture begins at the top. */
export function* walkBmp(feed: Feed): Walk {
  const header = yield* feed.take(26)
  const isCore = header.readUInt32LE(14) === 12
  const [width, height] = isCore
    ? [header.readUInt16LE(18), header.readUInt16LE(20)]
    : [header.readInt32LE(18), Math.abs(header.readInt32LE(22))]
  tell(feed, { width, height })
}

/** ISO 23008-12 § 6.5.3: the largest of the sizes, as an image may be made of tiles. */
export function* walkHeif(feed: Feed): Walk {
  const meta = yield* walkToBox(feed, 'meta', ['mdat'])
  if (!meta) return
  yield* takeWithin(feed, meta, 4)
  let largest: Picture | undefined
  yield* walkBoxes(feed, meta, function* (properties) {
    if (properties.type !== 'iprp') return
    yield* walkBoxes(feed, properties, function* (container) {
      if (container.type !== 'ipco') return
      yield* walkBoxes(feed, container, function* (property: Box) {
        if (property.type !== 'ispe') return
        const fields = yield* takeWithin(feed, property, 12)
        const size = { width: fields.readUInt32BE(4), height: fields.readUInt32BE(8) }
        if (!largest || size.width * size.height > largest.width * largest.height) largest = size
      })
    })
  })
  if (largest) tell(feed, largest)
}

function tell(feed: Feed, picture: Picture): void {
  feed.facts = { ...feed.facts, pictures: [picture] }
}
