import sharp, { type Sharp } from 'sharp'
import type { MediaRow } from '../../ledger/media.ts'
import { ObjectMissing } from '../../storage/store/objects.ts'
import { decodeWhole } from '../step/image-input.ts'
import { storeRendition } from '../step/rendition.ts'
import type { Step, StepContext } from '../step/step.ts'

/** AVIF takes long. */
const ENCODING_SECONDS = 60

/**
 * An image without the metadata of its camera, in its own format and size, rotated as it is to be shown. Its public
 * copy is made from this, never from the original.
 */
export const image: Step = {
  name: 'image',
  after: ['probe'],
  resource: 'decode',
  kinds: ['image'],
  skip: ({ publicPrefix }) => (publicPrefix === undefined ? 'the image stays private' : undefined),
  produces: ['image'],
  async run(context) {
    const { media } = context
    const made = await decodeWhole(context, (input) => strip(input, context))
    if (!made) return { detail: { skipped: 'the image has too many bytes' } }
    if ('error' in made) {
      await checkThere(context, made.error)
      return { detail: { skipped: `the image cannot be encoded again: ${made.error}` } }
    }
    const { data, info } = made
    await storeRendition(context, {
      kind: 'image',
      data,
      contentType: media.content_type ?? '',
      width: info.width,
      height: info.pageHeight ?? info.height,
    })
    return { detail: { size: data.byteLength } }
  },
}

/** Returns errors, and takes what there is: only steps that just read the file decide whether it is damaged. */
async function strip(input: string | Uint8Array, { media, limits }: StepContext) {
  const options = {
    failOn: 'none',
    limitInputPixels: limits.maxImagePixels,
    animated: isAnimatable(media),
  } as const
  try {
    // sharp writes none of the metadata that it is not told to keep; colours become sRGB.
    return await encode(sharp(input, options).autoOrient(), media)
      .timeout({ seconds: ENCODING_SECONDS })
      .toBuffer({ resolveWithObject: true })
  } catch (error) {
    return { error }
  }
}

/** Animations carry no orientation, and sharp cannot rotate them. */
const isAnimatable = ({ content_type: type }: MediaRow) => type === 'image/gif' || type === 'image/webp'

function encode(pixels: Sharp, { content_type: type }: MediaRow): Sharp {
  switch (type) {
    case 'image/jpeg':
      return pixels.jpeg({ quality: 90 })
    case 'image/png':
      return pixels.png()
    case 'image/webp':
      return pixels.webp({ quality: 90 })
    case 'image/gif':
      return pixels.gif()
    case 'image/avif':
      return pixels.avif({ quality: 65, effort: 2 })
    default:
      throw new Error(`no ${type} is written`)
  }
}

/** Tells an image that is missing from one that cannot be encoded. */
async function checkThere({ objects, media }: StepContext, error: unknown): Promise<void> {
  if ((await objects.sizeOf(media.storage_key)) !== media.size)
    throw new ObjectMissing(media.storage_key, { cause: error })
}
