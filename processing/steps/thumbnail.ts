import sharp, { type Sharp } from 'sharp'
import { recordRendition } from '../../ledger/media.ts'
import { FORMATS } from '../../storage/formats.ts'
import { renditionKey } from '../../storage/keys.ts'
import { UnreadableInput } from '../ffmpeg.ts'
import { imageError } from '../image-error.ts'
import type { Step, StepContext } from '../step.ts'
import { Rejected } from '../verdict.ts'

const WIDTH = 640
/** Where in a video the picture is taken: at one second, or at a tenth of one shorter than ten. */
const AT_SECONDS = 1
const AT_FRACTION = 0.1

/** A WebP picture, 640 pixels wide, of a video or an image. */
export const thumbnail: Step = {
  name: 'thumbnail',
  async run(context) {
    const { media, objects, db } = context
    if (media.kind === 'audio') return { detail: { skipped: 'audio has no picture' } }
    const { data, info } = media.kind === 'video' ? await ofVideo(context) : await ofImage(context)
    const key = renditionKey(media.id, 'thumbnail.webp')
    await objects.put(key, data)
    const size = { width: info.width, height: info.height, size: data.byteLength }
    const isRecorded = await recordRendition(db, {
      media_id: media.id,
      kind: 'thumbnail',
      storage_key: key,
      content_type: 'image/webp',
      ...size,
    })
    // The media has ended meanwhile, and with it the job that would remove this.
    if (!isRecorded) await objects.remove(key)
    return { detail: size }
  },
}

async function ofVideo({ media, objects, ffmpeg, signal }: StepContext) {
  const demuxers = FORMATS.find((f) => f.contentType === media.content_type)?.demuxers ?? []
  const input = await objects.toolInput(media.storage_key)
  const duration = media.duration_seconds ?? 0
  const atSeconds = Math.min(AT_SECONDS, duration * AT_FRACTION)
  try {
    const frame = await ffmpeg.frame({ input, demuxers, signal, atSeconds, width: WIDTH })
    return await toWebp(sharp(frame))
  } catch (error) {
    throw error instanceof UnreadableInput
      ? new Rejected('damaged', 'No picture could be read from the video.')
      : error
  }
}

async function ofImage({ media, objects, limits }: StepContext) {
  const input = await objects.toolInput(media.storage_key)
  try {
    const pixels = limits.maxWidth * limits.maxHeight
    return await toWebp(sharp(input, { failOn: 'truncated', limitInputPixels: pixels }).autoOrient())
  } catch (error) {
    throw await imageError(error, objects, media)
  }
}

async function toWebp(image: Sharp) {
  return await image
    .resize({ width: WIDTH, withoutEnlargement: true })
    .webp({ quality: 80 })
    .toBuffer({ resolveWithObject: true })
}
