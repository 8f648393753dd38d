import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { type Fixture, jpeg, png, shortVideo } from '../fixtures/media.ts'
import type { StorageKind } from '../support/landfall.ts'
import type { Random } from '../support/random.ts'

/** A file and the way its client sends it. */
export type PlannedUpload = {
  /** By a form in one request, or resumably. */
  way: 'form' | 'resumable'
  owner: string
  name: string
  contentType: string
  bytes: Buffer
  sha256: string
  /** Most bytes of one PATCH. */
  chunkBytes: number
  /** Bytes that go with the creation (tus 1.0 § creation-with-upload). */
  bytesWithCreation: number
  /** Bytes handed to the socket at a time. */
  pieceBytes: number
  hasContentLength: boolean
  /** Closes the connection of a PATCH once, after so many bytes in all; undefined when it never does. */
  cutAtByte: number | undefined
}

/** What clients go through that a kill can be aimed at. */
export type MomentKind =
  | 'created'
  | 'form-half-sent'
  | 'before-last-patch'
  | 'last-patch-sent'
  | 'last-patch-acknowledged'

/** When a kill happens: at a byte of the round, or some time after the n-th moment of a kind. */
export type KillMoment =
  | { at: 'byte'; bytes: number }
  | { at: MomentKind; occurrence: number; afterMs: number }

export type Kill = {
  victim: 'server' | 'worker'
  moment: KillMoment
  /** The server is killed again so long after its restart began; undefined when it may start in peace. */
  againAfterMs: number | undefined
}

export type Round = { uploads: PlannedUpload[]; kills: Kill[] }

const KIB = 1024
const MIB = 1024 * KIB
const SMALLEST = 6 * KIB
const LARGEST = 6 * MIB
/** In a bucket a file has several parts from 5 MiB on. */
const LARGEST_OF_PARTS = 14 * MIB

export async function loadMedia(): Promise<Fixture[]> {
  return await Promise.all([
    jpeg({ width: 1600, height: 900 }),
    png({ width: 1600, height: 900 }),
    shortVideo({ width: 320, height: 240, seconds: 1 }),
  ])
}

/** A round for servers that store on disk, or one for those that store in a bucket. */
export async function drawRound(
  storage: StorageKind,
  random: Random,
  number: number,
  media: readonly Fixture[],
): Promise<Round> {
  const owners = Array.from({ length: random.integer(1, 2) }, (_, index) => `owner-${number}-${index + 1}`)
  const count = random.integer(2, 5)
  const uploads: PlannedUpload[] = []
  for (let index = 1; index <= count; index++) {
    // One of each round's at least has parts.
    const hasParts = storage === 's3' && (index === 1 || random.chance(0.2))
    const bytesOfIt = hasParts
      ? random.integer(5 * MIB, LARGEST_OF_PARTS)
      : random.magnitude(SMALLEST, storage === 's3' ? LARGEST / 4 : LARGEST)
    const file = await drawFile(random, random.pick(media), bytesOfIt)
    const size = file.bytes.length
    uploads.push({
      ...file,
      way: 'resumable',
      owner: random.pick(owners),
      name: `${number}-${index}${file.extension}`,
      chunkBytes: drawChunkBytes(storage, random, size),
      // Never all of it: of an upload complete on arrival whose answer was lost no client could know.
      bytesWithCreation: random.chance(0.2) ? random.integer(1, size - 1) : 0,
      pieceBytes: random.magnitude(hasParts ? 16 * KIB : KIB, 256 * KIB),
      hasContentLength: random.chance(0.7),
      cutAtByte: random.chance(0.3) ? random.integer(1, size) : undefined,
    })
  }
  // Of owners of their own, for whom what a kill has cut off is looked at as well.
  const forms = random.integer(1, 2)
  for (let index = 1; index <= forms; index++) uploads.push(await drawForm(random, number, index, media))
  const bytes = uploads.reduce((sum, upload) => sum + upload.bytes.length, 0)
  const kills = Array.from({ length: random.integer(1, 2) }, () =>
    drawKill(storage, random, 'server', uploads.length, bytes),
  )
  if (random.chance(0.3))
    kills.splice(random.integer(0, kills.length), 0, drawKill(storage, random, 'worker', count, 0))
  return { uploads, kills }
}

async function drawForm(
  random: Random,
  number: number,
  index: number,
  media: readonly Fixture[],
): Promise<PlannedUpload> {
  const file = await drawFile(random, random.pick(media), random.magnitude(200 * KIB, LARGEST))
  return {
    ...file,
    way: 'form',
    owner: `form-owner-${number}`,
    name: `${number}-form-${index}${file.extension}`,
    chunkBytes: file.bytes.length,
    bytesWithCreation: 0,
    // Small, so that it takes a while: kills are to find it under way.
    pieceBytes: random.magnitude(KIB, 16 * KIB),
    hasContentLength: random.chance(0.7),
    cutAtByte: undefined,
  }
}

function drawChunkBytes(storage: StorageKind, random: Random, size: number): number {
  if (random.chance(0.3)) return size
  if (storage === 'disk') return random.magnitude(2 * KIB, size)
  // A part each, or what lies across the parts. Small ones cost several calls each, so there are not too many.
  if (size > 5 * MIB && random.chance(0.5)) return 5 * MIB + (random.chance(0.5) ? 0 : random.integer(1, MIB))
  return random.magnitude(Math.max(2 * KIB, Math.ceil(size / 40)), size)
}

function drawKill(
  storage: StorageKind,
  random: Random,
  victim: Kill['victim'],
  uploads: number,
  bytes: number,
): Kill {
  const againAfterMs = victim === 'server' && random.chance(0.15) ? random.integer(0, 800) : undefined
  const occurrence = random.integer(1, uploads)
  const kind = victim === 'worker' ? 'processing' : random.pick(KINDS)
  switch (kind) {
    case 'byte':
      return { victim, againAfterMs, moment: { at: 'byte', bytes: random.integer(1, bytes) } }
    case 'processing':
      return {
        victim,
        againAfterMs,
        moment: { at: 'last-patch-acknowledged', occurrence, afterMs: random.integer(1, 1200) },
      }
    // The server reads, stores and commits within some milliseconds: every part of that is to be hit.
    case 'last-patch-sent': {
      const afterMs = random.integer(0, storage === 's3' ? 100 : 30)
      return { victim, againAfterMs, moment: { at: kind, occurrence, afterMs } }
    }
    // A round has one such moment at least.
    case 'form-half-sent':
      return { victim, againAfterMs, moment: { at: kind, occurrence: 1, afterMs: random.integer(0, 10) } }
    default:
      return { victim, againAfterMs, moment: { at: kind, occurrence, afterMs: 0 } }
  }
}

const KINDS = [
  'byte',
  'byte',
  'created',
  'form-half-sent',
  'form-half-sent',
  'before-last-patch',
  'last-patch-sent',
  'last-patch-sent',
  'last-patch-acknowledged',
  'processing',
] as const

/** The media with padding behind it, so that sizes vary and no two files are alike. */
async function drawFile(random: Random, media: Fixture, size: number) {
  const original = await readFile(media.path)
  const extension = media.name.slice(media.name.lastIndexOf('.'))
  const padding = random.bytes(Math.max(64, size - original.length))
  if (extension === '.mp4') {
    // ISO 14496-12 § free space box: length, `free`, anything.
    padding.writeUInt32BE(padding.length)
    padding.write('free', 4)
  }
  const bytes = Buffer.concat([original, padding])
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  return { bytes, sha256, extension, contentType: media.contentType }
}

/** A round in one line, for people. */
export function describeRound({ uploads, kills }: Round): string {
  const sizes = uploads
    .map(({ name, way, bytes, chunkBytes }) =>
      way === 'form'
        ? `${name} ${bytes.length} by a form`
        : `${name} ${bytes.length} by ${Math.min(chunkBytes, bytes.length)}`,
    )
    .join(', ')
  const aims = kills.map(({ victim, moment, againAfterMs }) => {
    const when =
      moment.at === 'byte'
        ? `byte ${moment.bytes}`
        : `${moment.at} #${moment.occurrence}${moment.afterMs > 0 ? ` + ${moment.afterMs} ms` : ''}`
    return `${victim} at ${when}${againAfterMs === undefined ? '' : `, again ${againAfterMs} ms into its restart`}`
  })
  return `${sizes}; kills: ${aims.join('; ')}`
}
