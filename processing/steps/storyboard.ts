import sharp from 'sharp'
import { storeRendition } from '../step/rendition.ts'
import type { Step, StepContext } from '../step/step.ts'
import { toleratedReason } from '../step/tolerated.ts'
import { pictureRun } from '../step/tool-run.ts'
import type { PictureSize } from '../tools/shown-picture.ts'
import {
  isAffordable,
  planStoryboard,
  type StoryboardMethod,
  type StoryboardPlan,
  storyboardMethod,
} from '../tools/storyboard-plan.ts'

const CHANNELS = 3
/** The key frames must cover this share of a video. */
const ENOUGH = 0.5
/** Time limit for seeking tiles one by one; the others repeat the last one. */
const SEEKING_MS = 45_000

/** Small pictures of a whole video in one image, with their times. */
export const storyboard: Step = {
  name: 'storyboard',
  after: ['probe'],
  resource: 'decode',
  kinds: ['video'],
  needs: ['duration_seconds', 'width', 'height'],
  decodesPicture: true,
  produces: ['storyboard', 'storyboard-cues'],
  async run(context) {
    const plan = planStoryboard(context.media)
    if (!plan) return { detail: { skipped: 'it has no size' } }
    try {
      const seen = await see(context, plan)
      if (!seen) return { detail: { skipped: 'no frame could be read' } }
      const { width, height, data } = await sheetOf(seen.tiles, plan)
      await storeRendition(context, { kind: 'storyboard', data, contentType: 'image/jpeg', width, height })
      await storeRendition(context, {
        kind: 'storyboard-cues',
        data: Buffer.from(cuesOf(plan, context.media.duration_seconds ?? 0)),
        contentType: 'text/vtt',
      })
      return { detail: { tiles: plan.count, intervalMs: plan.intervalMs, way: seen.way } }
    } catch (error) {
      return { detail: { skipped: toleratedReason(error, context) } }
    }
  },
}

/** The tiles; the last one is repeated where there are too few. Undefined when there is none. */
async function see(
  context: StepContext,
  plan: StoryboardPlan,
): Promise<{ tiles: Uint8Array[]; way: StoryboardMethod } | undefined> {
  const { media } = context
  let way = storyboardMethod(media, plan.count)
  let tiles = way === 'seek' ? await seek(context, plan) : await pass(context, plan, way)
  // There is no tile after the last key frame.
  if (way === 'key-frames' && tiles.length < plan.count * ENOUGH && isAffordable(media)) {
    way = 'all'
    tiles = await pass(context, plan, way)
  }
  const last = tiles.at(-1)
  if (!last) return undefined
  while (tiles.length < plan.count) tiles.push(last)
  return { tiles, way }
}

async function pass(
  context: StepContext,
  { tile, intervalMs, count }: StoryboardPlan,
  way: StoryboardMethod,
): Promise<Uint8Array[]> {
  const run = await pictureRun(context, tile)
  const keyFramesOnly = way === 'key-frames'
  const pixels = await context.ffmpeg.tiles({ ...run, intervalMs, count, keyFramesOnly })
  const bytes = tile.width * tile.height * CHANNELS
  return Array.from({ length: Math.floor(pixels.byteLength / bytes) }, (_, n) =>
    pixels.subarray(n * bytes, (n + 1) * bytes),
  )
}

/** One after the other, to leave cores to the worker's other jobs. */
async function seek(
  context: StepContext,
  { tile, intervalMs, count }: StoryboardPlan,
): Promise<Uint8Array[]> {
  const tiles: Uint8Array[] = []
  const end = Date.now() + SEEKING_MS
  for (let n = 0; n < count && Date.now() < end; n++) {
    const atSeconds = ((n + 0.5) * intervalMs) / 1000
    const found = await context.ffmpeg.tileAt({ ...(await pictureRun(context, tile)), atSeconds })
    const next = found ?? tiles.at(-1)
    if (next) tiles.push(next)
  }
  return tiles
}

/** The tiles in rows, black where the last row is not full. */
async function sheetOf(tiles: readonly Uint8Array[], { tile, columns }: StoryboardPlan) {
  const width = columns * tile.width
  const height = Math.ceil(tiles.length / columns) * tile.height
  const sheet = Buffer.alloc(width * height * CHANNELS)
  for (const [n, pixels] of tiles.entries()) {
    const { x, y } = placeOf(n, { tile, columns })
    for (let row = 0; row < tile.height; row++) {
      const line = pixels.subarray(row * tile.width * CHANNELS, (row + 1) * tile.width * CHANNELS)
      sheet.set(line, ((y + row) * width + x) * CHANNELS)
    }
  }
  const data = await sharp(sheet, { raw: { width, height, channels: CHANNELS } })
    .jpeg({ quality: 70 })
    .toBuffer()
  return { width, height, data }
}

/** WebVTT with media fragments, as players read it. The server turns `storyboard` into a link. */
function cuesOf(plan: StoryboardPlan, durationSeconds: number): string {
  const { tile, intervalMs, count } = plan
  const cues = Array.from({ length: count }, (_, n) => {
    const { x, y } = placeOf(n, plan)
    const end = n === count - 1 ? Math.round(durationSeconds * 1000) : (n + 1) * intervalMs
    const times = `${timeOf(n * intervalMs)} --> ${timeOf(Math.max(end, n * intervalMs + 1))}`
    return `${times}\nstoryboard#xywh=${x},${y},${tile.width},${tile.height}\n`
  })
  return ['WEBVTT\n', ...cues].join('\n')
}

function placeOf(n: number, { tile, columns }: { tile: PictureSize; columns: number }) {
  return { x: (n % columns) * tile.width, y: Math.floor(n / columns) * tile.height }
}

/** `hh:mm:ss.ttt` */
function timeOf(ms: number): string {
  const part = (value: number, digits = 2) => String(Math.floor(value)).padStart(digits, '0')
  return `${part(ms / 3_600_000)}:${part((ms / 60_000) % 60)}:${part((ms / 1000) % 60)}.${part(ms % 1000, 3)}`
}
