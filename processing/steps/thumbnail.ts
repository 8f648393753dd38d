import sharp, { type Sharp } from 'sharp'
import { findRendition, recordRendition } from '../../ledger/media.ts'
import { FORMATS } from '../../storage/formats.ts'
import { renditionKey } from '../../storage/keys.ts'
import { servedAs } from '../../storage/served-as.ts'
import { UnreadableInput } from '../ffmpeg.ts'
import { lookAtWhole } from '../image-input.ts'
import type { Step, StepContext } from '../step.ts'

const WIDTH = 640
const CONTENT_TYPE = 'image/webp'
/** Where in a video the picture is taken: at one second, or at a tenth of one shorter than ten. */
const AT_SECONDS = 1
const AT_FRACTION = 0.1

/** A WebP picture, 640 pixels wide, of a video or an image. */
export const thumbnail: Step = {
  name: 'thumbnail',
  async run(context) {
    const { media, objects, db } = context
    if (media.kind === 'audio') return { detail: { skipped: 'audio has no picture' } }
    const picture = media.kind === 'video' ? await ofVideo(context) : await ofImage(context)
    if (!picture) {
      const why = media.kind === 'video' ? 'no frame could be read' : 'the image has too many bytes'
      return { detail: { skipped: why } }
    }
    const { data, info } = picture
    const key = renditionKey(media, 'thumbnail.webp')
    await objects.put(key, data, servedAs(CONTENT_TYPE))
    const size = { width: info.width, height: info.height, size: data.byteLength }
    const isRecorded = await recordRendition(db, {
      media_id: media.id,
      kind: 'thumbnail',
      storage_key: key,
      content_type: CONTENT_TYPE,
      ...size,
    })
    // The media has ended meanwhile, so nobody will look at this; unless it is another worker's as well,
    // recorded before. Not done, it goes with the rest of the media.
    if (!isRecorded && !(await findRendition(db, media.id, 'thumbnail'))) await objects.remove(key)
    return { detail: size }
  },
}

/** Undefined when no frame can be had of a file that is otherwise sound: it goes without. */
async function ofVideo({ media, objects, ffmpeg, signal }: StepContext) {
  const demuxers = FORMATS.find((f) => f.contentType === media.content_type)?.demuxers ?? []
  const input = await objects.toolInput(media.storage_key)
  const run = { input, size: media.size, demuxers, signal, width: WIDTH }
  const duration = media.duration_seconds ?? 0
  try {
    const frame =
      (await ffmpeg.frame({ ...run, atSeconds: Math.min(AT_SECONDS, duration * AT_FRACTION) })) ??
      // The picture may end before the sound does.
      (await ffmpeg.frame({ ...run, atSeconds: 0 }))
    return frame && (await toWebp(sharp(frame)))
  } catch (error) {
    if (error instanceof UnreadableInput) return undefined
    throw error
  }
}

/** Undefined when it is too large to be read into memory. */
async function ofImage(context: StepContext) {
  const { maxWidth, maxHeight } = context.limits
  return await lookAtWhole(context, (input) =>
    toWebp(sharp(input, { failOn: 'truncated', limitInputPixels: maxWidth * maxHeight }).autoOrient()),
  )
}

async function toWebp(image: Sharp) {
  return await image
    .resize({ width: WIDTH, withoutEnlargement: true })
    .webp({ quality: 80 })
    .toBuffer({ resolveWithObject: true })
}
