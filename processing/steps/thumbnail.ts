import sharp, { type Sharp } from 'sharp'
import { rgbaToThumbHash } from 'thumbhash'
import { RENDITIONS, type RenditionKind } from '../../storage/store/keys.ts'
import { lookAtWhole } from '../step/image-input.ts'
import { storeRendition } from '../step/rendition.ts'
import type { Step, StepContext } from '../step/step.ts'
import { toolRun } from '../step/tool-run.ts'
import { UnreadableInput } from '../tools/tool-errors.ts'

/** Used for a video that is shorter than the chosen moment. */
const AT_FRACTION = 0.1
/** More than WebP allows. Only very narrow pictures are scaled down for it. */
const MAX_HEIGHT = 16_000
/** ThumbHash takes no more. */
const HASH_SIDE = 100
const WHITE = '#ffffff'

/** Pictures of a video or an image in several widths, as WebP and JPEG, and a ThumbHash. */
export const thumbnail: Step = {
  name: 'thumbnail',
  after: ['probe'],
  resource: 'decode',
  kinds: ['video', 'image'],
  produces: thumbnailKinds(),
  async run(context) {
    const { media } = context
    const picture = media.kind === 'video' ? await ofVideo(context) : await ofImage(context)
    if (!picture) {
      const why = media.kind === 'video' ? 'no frame could be read' : 'the image has too many bytes'
      return { detail: { skipped: why } }
    }
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

/** Undefined when a file that is otherwise sound has no usable frame: it gets no thumbnail. */
async function ofVideo(context: StepContext) {
  const { media, ffmpeg, thumbnails } = context
  const width = Math.max(...thumbnails.widths)
  const run = { ...(await toolRun(context)), width }
  const duration = media.duration_seconds ?? 0
  const at = thumbnails.atSeconds < duration ? thumbnails.atSeconds : duration * AT_FRACTION
  try {
    const frame =
      (await ffmpeg.frame({ ...run, atSeconds: at })) ??
      // The picture may end before the sound does.
      (await ffmpeg.frame({ ...run, atSeconds: 0 }))
    return frame && (await toPixels(sharp(frame), width))
  } catch (error) {
    if (error instanceof UnreadableInput) return undefined
    throw error
  }
}

/** Undefined when it is too large to be read into memory. */
async function ofImage(context: StepContext) {
  const { maxWidth, maxHeight } = context.limits
  return await lookAtWhole(context, (input) =>
    toPixels(
      sharp(input, { failOn: 'truncated', limitInputPixels: maxWidth * maxHeight }).autoOrient(),
      Math.max(...context.thumbnails.widths),
    ),
  )
}

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
