import sharp, { type Sharp } from 'sharp'
import { rgbaToThumbHash } from 'thumbhash'
import { RENDITIONS, type RenditionKind } from '../../storage/store/keys.ts'
import { needsOther, withConverted } from '../step/converted-picture.ts'
import { withDamageConfirmed } from '../step/damage.ts'
import { decodeWhole, isUnsupported } from '../step/image-input.ts'
import { storeRendition } from '../step/rendition.ts'
import type { Step, StepContext } from '../step/step.ts'
import { toleratedReason } from '../step/tolerated.ts'
import { pictureRun, toolRun } from '../step/tool-run.ts'
import { isConvertible } from '../tools/converters.ts'
import { ToolFailed, UnreadableInput } from '../tools/tool-errors.ts'

/** Used for a video that is shorter than the chosen moment. */
const AT_FRACTION = 0.1
/** More than WebP allows. Only very narrow pictures are scaled down for it. */
const MAX_HEIGHT = 16_000
/** Below it a picture is black, white or of one colour, with some noise. */
const SEEN_CONTRAST = 6
/** ThumbHash takes no more. */
const HASH_SIDE = 100
/** The longer side of a page is at most so many times its width. */
const PAGE_SCALE = 2
const WHITE = '#ffffff'

/** Pictures of a video, an image or the first page of a document in several widths, as WebP and JPEG, and a ThumbHash. */
export const thumbnail: Step = {
  name: 'thumbnail',
  after: ['probe'],
  resource: 'decode',
  kinds: ['video', 'image', 'document'],
  decodesPicture: true,
  produces: thumbnailKinds(),
  async run(context) {
    const { media } = context
    const picture = await (SOURCES[media.kind ?? 'file'] ?? ofDocument)(context)
    if ('skipped' in picture) return { detail: picture, ...(picture.isUnsupported ? UNSUPPORTED : {}) }
    const sizes: string[] = []
    for (const [index, width] of context.thumbnails.widths.entries()) {
      const scaled = await scale(picture, width)
      const { width: shown, height } = scaled.info
      // A small picture is the same in all larger widths.
      if (sizes.includes(`${shown}x${height}`)) continue
      sizes.push(`${shown}x${height}`)
      const [webp, jpeg] = kindsAt(index)
      const store = async (kind: RenditionKind, contentType: string, encoded: Sharp) =>
        storeRendition(context, { kind, data: await encoded.toBuffer(), contentType, width: shown, height })
      await store(webp, 'image/webp', fromPixels(scaled).webp({ quality: 80 }))
      await store(jpeg, 'image/jpeg', fromPixels(scaled).flatten({ background: WHITE }).jpeg({ quality: 80 }))
    }
    return { facts: { thumbhash: await hashOf(picture) }, detail: { sizes } }
  },
}

const SOURCES: Readonly<Record<string, (context: StepContext) => Promise<Pixels | Skipped>>> = {
  video: ofVideo,
  image: ofImage,
  document: ofDocument,
}

/** What a document holds is not checked: it may have no page that can be shown. */
async function ofDocument(context: StepContext): Promise<Pixels | Skipped> {
  const { content_type: type } = context.media
  if (!isConvertible(type)) return { skipped: `there is no picture of ${type}` }
  try {
    return (await ofConverted(context)) ?? { skipped: NO_PROGRAM }
  } catch (error) {
    return { skipped: toleratedReason(error, context) }
  }
}

const NO_PROGRAM = 'this machine has no program that reads it'

async function ofConverted(context: StepContext): Promise<Pixels | undefined> {
  const width = Math.max(...context.thumbnails.widths)
  const source = { step: thumbnail.name, maxSide: width * PAGE_SCALE }
  return await withConverted(context, source, (path) => toPixels(sharp(path), width))
}

/** A file that is otherwise sound may have no usable frame. */
async function ofVideo(context: StepContext): Promise<Pixels | Skipped> {
  try {
    return (await frameWithContent(context)) ?? { skipped: 'no frame could be read' }
  } catch (error) {
    return { skipped: toleratedReason(error, context) }
  }
}

/**
 * The frame at the configured time; where there is nothing to see, as in a fade from black, one of those after it, the
 * first with something in it or else the one with most.
 */
async function frameWithContent(context: StepContext): Promise<Pixels | undefined> {
  const { media, ffmpeg, thumbnails } = context
  const { width: shownWidth, height: shownHeight } = media
  if (!shownWidth || !shownHeight) return undefined
  const scale = Math.min(1, Math.max(...thumbnails.widths) / shownWidth, MAX_HEIGHT / shownHeight)
  const size = { width: scaled(shownWidth, scale), height: scaled(shownHeight, scale) }
  let best: { picture: Pixels; contrast: number } | undefined
  let failure: unknown
  for (const atSeconds of timesOf(media.duration_seconds ?? 0, thumbnails.atSeconds)) {
    const frame = await ffmpeg
      .frame({ ...(await pictureRun(context, size)), atSeconds })
      .catch((error: unknown) => {
        toleratedReason(error, context)
        failure = error
      })
    if (!frame) continue
    const picture = await toPixels(sharp(frame), size.width)
    const contrast = await contrastOf(picture)
    if (contrast >= SEEN_CONTRAST) return picture
    if (!best || contrast > best.contrast) best = { picture, contrast }
  }
  if (!best && failure !== undefined) throw failure
  return best?.picture
}

const scaled = (pixels: number, scale: number): number => Math.max(Math.round(pixels * scale), 1)

/** Seconds, in the order in which they are tried. The picture may begin later, or end sooner, than the sound. */
function timesOf(duration: number, configured: number): number[] {
  const first = configured < duration ? configured : duration * AT_FRACTION
  const later = [1, 3].map((after) => first + after)
  const spread = [0.1, 0.25, 0.5, 0.75].map((part) => duration * part)
  return [...new Set([first, ...[...later, ...spread].filter((at) => at > first && at < duration), 0])]
}

/** The standard deviation of the brightness, from 0 to 255. */
async function contrastOf(picture: Pixels): Promise<number> {
  const { channels } = await fromPixels(picture).removeAlpha().greyscale().stats()
  return channels[0]?.stdev ?? 0
}

async function ofImage(context: StepContext): Promise<Pixels | Skipped> {
  if (await needsOther(context)) return await ofOtherImage(context)
  const { maxImagePixels } = context.limits
  const width = Math.max(...context.thumbnails.widths)
  const decoded = await decodeWhole(context, async (input, failOn) => {
    try {
      return await toPixels(sharp(input, { failOn, limitInputPixels: maxImagePixels }).autoOrient(), width)
    } catch (error) {
      if (isUnsupported(error)) return 'unsupported'
      throw error
    }
  })
  if (decoded === 'unsupported') return await ofOtherImage(context)
  return decoded ?? { skipped: 'the image has too many bytes' }
}

const UNSUPPORTED = { facts: { renditions_skipped: 'unsupported-codec' } } as const

/** What libvips cannot open: by another program, or as a video of one picture. */
async function ofOtherImage(context: StepContext): Promise<Pixels | Skipped> {
  const { content_type: type } = context.media
  const unsupported = { skipped: `no program here reads this kind of ${type}`, isUnsupported: true } as const
  const { demuxers } = await toolRun(context)
  if (!isConvertible(type) && demuxers.length === 0) return unsupported
  const look = isConvertible(type) ? ofConverted : frameWithContent
  try {
    return (await withDamageConfirmed(context, async () => look(context).catch(asUnsupported))) ?? unsupported
  } catch (error) {
    if (error instanceof Unsupported) return unsupported
    throw error
  }
}

class Unsupported extends Error {}

/** A program may lack a codec, or know no such option: that says nothing of the file. */
function asUnsupported(error: unknown): never {
  const isLacking = error instanceof UnreadableInput && /unsupported|not implemented/i.test(error.message)
  if (isLacking || (error instanceof ToolFailed && error.kind === 'bad-arguments')) throw new Unsupported()
  throw error
}

type Skipped = { skipped: string; isUnsupported?: true }
type Pixels = Awaited<ReturnType<typeof toPixels>>

/** Decoded once for all widths, at the largest of them. */
async function toPixels(image: Sharp, width: number) {
  return await image
    .resize({ width, height: MAX_HEIGHT, fit: 'inside', withoutEnlargement: true })
    .toColourspace('srgb')
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true })
}

const scale = (picture: Pixels, width: number) => toPixels(fromPixels(picture), width)

function fromPixels({ data, info }: Pixels): Sharp {
  const { width, height, channels } = info
  return sharp(data, { raw: { width, height, channels } })
}

/** A ThumbHash in base64. */
async function hashOf(picture: Pixels): Promise<string> {
  const { data, info } = await fromPixels(picture)
    .resize({ width: HASH_SIDE, height: HASH_SIDE, fit: 'inside', withoutEnlargement: true })
    .toColourspace('srgb')
    .ensureAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true })
  return Buffer.from(rgbaToThumbHash(info.width, info.height, data)).toString('base64')
}

/** Kinds of the pictures of the n-th width, from 0: WebP and JPEG. */
function kindsAt(index: number): [webp: RenditionKind, jpeg: RenditionKind] {
  const [webp, jpeg] = thumbnailKinds().slice(index * 2)
  if (!webp || !jpeg) throw new Error(`there is no kind for a thumbnail of width number ${index + 1}`)
  return [webp, jpeg]
}

/** In declared order: two per width. */
function thumbnailKinds(): RenditionKind[] {
  return (Object.keys(RENDITIONS) as RenditionKind[]).filter((kind) => kind.startsWith('thumbnail'))
}
