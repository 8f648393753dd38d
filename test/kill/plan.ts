import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { type Fixture, jpeg, png, shortVideo } from '../fixtures/media.ts'
import type { Random } from '../support/random.ts'

/** A file and the way its client sends it. */
export type PlannedUpload = {
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
export type MomentKind = 'created' | 'before-last-patch' | 'last-patch-sent' | 'last-patch-acknowledged'

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

const SMALLEST = 6 * 1024
const LARGEST = 6 * 1024 * 1024

export async function loadMedia(): Promise<Fixture[]> {
  return await Promise.all([
    jpeg({ width: 1600, height: 900 }),
    png({ width: 1600, height: 900 }),
    shortVideo({ width: 320, height: 240, seconds: 1 }),
  ])
}

export async function drawRound(random: Random, number: number, media: readonly Fixture[]): Promise<Round> {
  const owners = Array.from({ length: random.integer(1, 2) }, (_, index) => `owner-${number}-${index + 1}`)
  const count = random.integer(2, 5)
  const uploads: PlannedUpload[] = []
  for (let index = 1; index <= count; index++) {
    const file = await drawFile(random, random.pick(media))
    const size = file.bytes.length
    uploads.push({
      ...file,
      owner: random.pick(owners),
      name: `${number}-${index}${file.extension}`,
      chunkBytes: random.chance(0.3) ? size : random.magnitude(2048, size),
      // Never all of it: of an upload complete on arrival whose answer was lost no client could know.
      bytesWithCreation: random.chance(0.2) ? random.integer(1, size - 1) : 0,
      pieceBytes: random.magnitude(1024, 256 * 1024),
      hasContentLength: random.chance(0.7),
      cutAtByte: random.chance(0.3) ? random.integer(1, size) : undefined,
    })
  }
  const bytes = uploads.reduce((sum, upload) => sum + upload.bytes.length, 0)
  const kills = Array.from({ length: random.integer(1, 2) }, () => drawKill(random, 'server', count, bytes))
  if (random.chance(0.3))
    kills.splice(random.integer(0, kills.length), 0, drawKill(random, 'worker', count, 0))
  return { uploads, kills }
}

function drawKill(random: Random, victim: Kill['victim'], uploads: number, bytes: number): Kill {
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
    // The server reads, syncs and commits within some milliseconds: every part of that is to be hit.
    case 'last-patch-sent':
      return { victim, againAfterMs, moment: { at: kind, occurrence, afterMs: random.integer(0, 30) } }
    default:
      return { victim, againAfterMs, moment: { at: kind, occurrence, afterMs: 0 } }
  }
}

const KINDS = [
  'byte',
  'byte',
  'created',
  'before-last-patch',
  'last-patch-sent',
  'last-patch-sent',
  'last-patch-acknowledged',
  'processing',
] as const

/** The media with padding behind it, so that sizes vary and no two files are alike. */
async function drawFile(random: Random, media: Fixture) {
  const original = await readFile(media.path)
  const extension = media.name.slice(media.name.lastIndexOf('.'))
  const padding = random.bytes(Math.max(64, random.magnitude(SMALLEST, LARGEST) - original.length))
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
  const sizes = uploads.map(({ name, bytes }) => `${name} ${bytes.length}`).join(', ')
  const aims = kills.map(({ victim, moment, againAfterMs }) => {
    const when =
      moment.at === 'byte'
        ? `byte ${moment.bytes}`
        : `${moment.at} #${moment.occurrence}${moment.afterMs > 0 ? ` + ${moment.afterMs} ms` : ''}`
    return `${victim} at ${when}${againAfterMs === undefined ? '' : `, again ${againAfterMs} ms into its restart`}`
  })
  return `${sizes}; kills: ${aims.join('; ')}`
}
