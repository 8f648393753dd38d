import { open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { dropRendition, findRenditions } from '../../ledger/media.ts'
import { HLS_NUMBERS, type RenditionKind } from '../../storage/store/keys.ts'
import { storeRendition, storeRenditionFile } from '../step/rendition.ts'
import { removeScratch, withScratch } from '../step/scratch.ts'
import { type Step, type StepContext, type StepResult, SWITCHED_OFF } from '../step/step.ts'
import { toleratedReason } from '../step/tolerated.ts'
import { localRun } from '../step/tool-run.ts'
import { bytesName, playlistName } from '../tools/hls-arguments.ts'
import { type HlsRendition, planHls } from '../tools/hls-plan.ts'
import {
  codecsOf,
  masterPlaylist,
  readMediaPlaylist,
  secondsOf,
  type Variant,
} from '../tools/hls-playlist.ts'
import { hlsScratchBytes } from '../tools/scratch-size.ts'
import { streamsOf } from '../tools/streams.ts'
import { UnreadableInput } from '../tools/tool-errors.ts'

const PLAYLIST_TYPE = 'application/vnd.apple.mpegurl'
const ENDED = { detail: { skipped: 'the media item has ended in the meantime' } }
const THERE = { detail: { skipped: 'the renditions already exist' } }

const bytesKind = ({ number }: HlsRendition) => `hls-${number}` as const
const playlistKind = ({ number }: HlsRendition) => `hls-${number}-playlist` as const
const KINDS: readonly RenditionKind[] = HLS_NUMBERS.flatMap(
  (number) => [`hls-${number}`, `hls-${number}-playlist`] as const,
)

/**
 * HLS renditions of a video, in heights up to its own. Each is one file, whose playlist lists the segments; the master
 * playlist is stored last and shows that the others are complete.
 */
export const hls: Step = {
  name: 'hls',
  after: ['publish'],
  job: 'transcoding',
  kinds: ['video'],
  needs: ['duration_seconds', 'width', 'height'],
  decodesPicture: true,
  skip: ({ hls }) => (hls ? undefined : SWITCHED_OFF),
  produces: ['hls', ...KINDS],
  async run(context) {
    const plan = planHls(context.media, context.hls?.heights ?? [])
    // A worker that has done this before, for hours, may have crashed before it could record it.
    if (await isThere(context, plan)) {
      await removeScratch(context.scratch, context.media.id)
      return THERE
    }
    try {
      const bytes = hlsScratchBytes(context.media, plan)
      return await withScratch(context.scratch, { name: context.media.id, bytes }, async (folder) => {
        const variants = await encode(context, plan, folder)
        return (await isThere(context, plan)) ? THERE : await store(context, variants, folder)
      })
    } catch (error) {
      return { detail: { skipped: toleratedReason(error, context) } }
    }
  },
}

/** Whether exactly these renditions are stored completely. */
async function isThere({ db, media, objects }: StepContext, plan: readonly HlsRendition[]): Promise<boolean> {
  const rows = (await findRenditions(db, media)).filter(({ kind }) => /^hls/.test(kind))
  if (rows.length !== 1 + 2 * plan.length || !rows.some(({ kind }) => kind === 'hls')) return false
  const areThese = plan.every((one) =>
    rows.some((row) => row.kind === bytesKind(one) && row.width === one.width && row.height === one.height),
  )
  if (!areThese) return false
  for (const { storage_key, size } of rows) if ((await objects.sizeOf(storage_key)) !== size) return false
  return true
}

type EncodedRendition = HlsRendition & Variant

/** Encodes the media item into the folder. Fails with `UnreadableInput` where the result cannot be played. */
async function encode(
  context: StepContext,
  renditions: readonly HlsRendition[],
  folder: string,
): Promise<EncodedRendition[]> {
  const { media, ffmpeg } = context
  const { picture, sound } = streamsOf(media)
  await ffmpeg.hls({
    ...(await localRun(context, folder)),
    renditions,
    picture,
    sound: media.has_audio === true ? sound : undefined,
    isHdr: media.is_hdr === true,
    seconds: media.duration_seconds ?? 0,
    fps: media.fps,
    folder,
  })
  return await Promise.all(
    renditions.map(async (one) => {
      const playlist = readMediaPlaylist(await readFile(join(folder, playlistName(one)), 'utf8'))
      const codecs = playlist && codecsOf(await firstBytes(join(folder, bytesName(one)), playlist.initBytes))
      if (!playlist || codecs === undefined)
        throw new UnreadableInput('encoding produced no playable rendition')
      return { ...one, name: playlistName(one), codecs, playlist }
    }),
  )
}

async function firstBytes(path: string, count: number): Promise<Buffer> {
  const file = await open(path)
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(count), 0, count, 0)
    return buffer.subarray(0, bytesRead)
  } finally {
    await file.close()
  }
}

/** Stores the renditions, and then the playlist that lists them. */
async function store(
  context: StepContext,
  variants: readonly EncodedRendition[],
  folder: string,
): Promise<StepResult> {
  const { db, media, objects, notifyListeners } = context
  // It lists other or lost renditions: a player must not get segments of both.
  await dropRendition(db, media.id, 'hls')
  // The largest first: where that is too large for the storage, nothing else is stored.
  for (const one of variants) {
    const { width, height } = one
    const bytes = { kind: bytesKind(one), contentType: 'video/mp4', path: join(folder, bytesName(one)) }
    const playlist = { kind: playlistKind(one), contentType: PLAYLIST_TYPE, path: join(folder, one.name) }
    const isStored =
      (await storeRenditionFile(context, { ...bytes, width, height })) &&
      (await storeRenditionFile(context, { ...playlist, width, height }))
    if (!isStored) return ENDED
  }
  const kept = new Set<string>(variants.flatMap((one) => [bytesKind(one), playlistKind(one)]))
  for (const { kind, storage_key } of await findRenditions(db, media)) {
    if (kept.has(kind) || !KINDS.some((known) => known === kind)) continue
    await dropRendition(db, media.id, kind)
    await objects.remove(storage_key)
  }
  const isStored = await storeRendition(context, {
    kind: 'hls',
    contentType: PLAYLIST_TYPE,
    data: Buffer.from(masterPlaylist(variants)),
    event: 'hls.finished',
  })
  if (!isStored) return ENDED
  notifyListeners(media.upload_id)
  const [largest] = variants
  return {
    detail: {
      renditions: variants.map(({ width, height }) => `${width}x${height}`),
      seconds: secondsOf(largest?.playlist.segments ?? []),
    },
  }
}
