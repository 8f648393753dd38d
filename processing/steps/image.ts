import sharp, { type Sharp } from 'sharp'
import type { MediaRow } from '../../ledger/media.ts'
import { ObjectMissing } from '../../storage/store/objects.ts'
import { isOfFfmpeg, needsOther, withConverted } from '../step/converted-picture.ts'
import { decodeWhole } from '../step/image-input.ts'
import { storeRendition } from '../step/rendition.ts'
import type { Step, StepContext } from '../step/step.ts'
import { toleratedReason } from '../step/tolerated.ts'
import { pictureRun } from '../step/tool-run.ts'

/** AVIF takes long. */
const ENCODING_SECONDS = 60

/**
 * An image without the metadata of its camera, in its own size and in its own format or, where browsers do not show that,
 * as JPEG or WebP, rotated as it is to be shown. Its public copy is made from this, never from the original.
 */
export const image: Step = {
  name: 'image',
  after: ['probe'],
  resource: 'decode',
  kinds: ['image'],
  decodesPicture: true,
  skip: ({ publicPrefix }) => (publicPrefix === undefined ? 'the image stays private' : undefined),
  produces: ['image'],
  async run(context) {
    const made = (await needsOther(context))
      ? await stripOther(context)
      : await decodeWhole(context, (input) => strip(input, context))
    if (!made) return { detail: { skipped: 'the image has too many bytes' } }
    if ('error' in made) {
      await checkThere(context, made.error)
      return { detail: { skipped: `the image cannot be encoded again: ${made.error}` } }
    }
    const { data, info, contentType } = made
    await storeRendition(context, {
      kind: 'image',
      data,
      contentType,
      width: info.width,
      height: info.pageHeight ?? info.height,
    })
    return { detail: { size: data.byteLength } }
  },
}

/** Returns errors, and takes what there is: only steps that just read the file decide whether it is damaged. */
async function strip(input: string | Uint8Array, context: StepContext) {
  try {
    return await reencode(input, context)
  } catch (error) {
    return { error }
  }
}

async function stripOther(context: StepContext) {
  try {
    return (await reencodeOther(context)) ?? { error: 'no program here reads it' }
  } catch (error) {
    return { error: toleratedReason(error, context) }
  }
}

/** What libvips cannot open. */
async function reencodeOther(context: StepContext) {
  const { media, ffmpeg } = context
  const { width, height } = media
  if (!isOfFfmpeg(media) || !width || !height) {
    const source = { step: image.name, maxSide: 0 }
    return await withConverted(context, source, (path) => reencode(path, context, { isTurned: true }))
  }
  const frame = await ffmpeg.frame({ ...(await pictureRun(context, { width, height })), atSeconds: 0 })
  return frame && (await reencode(frame, context, { isTurned: true }))
}

/** `isTurned`: it is as it is to be shown, whatever its metadata says. */
async function reencode(
  input: string | Uint8Array,
  { media, limits }: StepContext,
  { isTurned } = { isTurned: false },
) {
  const options = {
    failOn: 'none',
    limitInputPixels: limits.maxImagePixels,
    animated: isAnimatable(media),
  } as const
  const { hasAlpha } = await sharp(input, options).metadata()
  // sharp writes none of the metadata that it is not told to keep; colours become sRGB.
  const picture = sharp(input, options)
  const { pixels, contentType } = encode(isTurned ? picture : picture.autoOrient(), media, hasAlpha)
  const { data, info } = await pixels
    .timeout({ seconds: ENCODING_SECONDS })
    .toBuffer({ resolveWithObject: true })
  return { data, info, contentType }
}

/** Animations carry no orientation, and sharp cannot rotate them. */
const isAnimatable = ({ content_type: type }: MediaRow) => type === 'image/gif' || type === 'image/webp'

/** What browsers do not show becomes what they do. */
function encode(picture: Sharp, { content_type: type }: MediaRow, hasAlpha: boolean) {
  switch (type) {
    case 'image/png':
      return { pixels: picture.png(), contentType: type }
    case 'image/webp':
      return { pixels: picture.webp({ quality: 90 }), contentType: type }
    case 'image/gif':
      return { pixels: picture.gif(), contentType: type }
    case 'image/avif':
      return { pixels: picture.avif({ quality: 65, effort: 2 }), contentType: type }
    default:
      return hasAlpha && type !== 'image/jpeg'
        ? { pixels: picture.webp({ quality: 90 }), contentType: 'image/webp' }
        : { pixels: picture.jpeg({ quality: 90 }), contentType: 'image/jpeg' }
  }
}

/** Tells an image that is missing from one that cannot be encoded. */
async function checkThere({ objects, media }: StepContext, error: unknown): Promise<void> {
  if ((await objects.sizeOf(media.storage_key)) !== media.size)
    throw new ObjectMissing(media.storage_key, { cause: error })
}
