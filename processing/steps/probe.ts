import sharp from 'sharp'
import { accepts } from '../../content/accepted-types.ts'
import { FileView } from '../../content/file-view.ts'
import { correctedName, FORMATS, formatByStreams, formatOfType } from '../../content/formats.ts'
import { detectType, headBehindTags, UNRECOGNISED } from '../../content/identification.ts'
import { judgeDimensions, judgeDuration, judgeImageSize } from '../../content/media-limits.ts'
import { ContentRejected, type Verdict } from '../../content/verdict.ts'
import type { MediaFacts } from '../../ledger/media.ts'
import { isOfFfmpeg } from '../step/converted-picture.ts'
import { asDamage, withDamageConfirmed } from '../step/damage.ts'
import { isUnsupported, lookAtHeader } from '../step/image-input.ts'
import { readRange } from '../step/read-range.ts'
import type { Step, StepContext } from '../step/step.ts'
import { toolRun } from '../step/tool-run.ts'
import { readProbe } from '../tools/probe-report.ts'
import { qualityOf } from '../tools/quality.ts'
import { inputSize, readStreams } from '../tools/streams.ts'
import { InputNotDelivered, UnreadableInput } from '../tools/tool-errors.ts'

/** Degrees clockwise, by EXIF orientation; every other value is also mirrored. */
const ROTATION_OF_ORIENTATION: readonly number[] = [0, 0, 0, 180, 180, 270, 90, 90, 270]

/** Formats whose headers say how long their content is, as that was written last. */
const EXACT: readonly (string | null)[] = ['audio/flac', 'video/x-flv']

/** Reads the facts of the media item, and rejects what is damaged or outside the limits. */
export const probe: Step = {
  name: 'probe',
  // No decoder opens a file before the scanner has passed it.
  after: ['scan'],
  resource: 'decode',
  kinds: ['video', 'image', 'audio'],
  async run(context) {
    if (context.media.kind === 'image') {
      const facts = await probeImage(context)
      check(judgeImageSize(facts, context.limits))
      return { facts }
    }
    const facts = await withDamageConfirmed(context, () => readFacts(context)).catch(
      async (error: unknown) => {
        throw isDamaged(error) && (await isUnrecognised(context)) ? new ContentRejected(UNRECOGNISED) : error
      },
    )
    const { limits } = context
    check(judgeDuration(facts.duration_seconds, limits))
    check(judgeDimensions(facts, limits, { width: facts.coded_width, height: facts.coded_height }))
    const { width, height } = facts
    return { facts: { ...facts, quality: width && height ? qualityOf(width, height) : null } }
  },
}

const isDamaged = (error: unknown): boolean =>
  error instanceof ContentRejected && error.verdict.code === 'damaged'

/** Whether its name and declared type alone said what it is. */
async function isUnrecognised(context: StepContext): Promise<boolean> {
  const { media } = context
  const read = (start: number, end: number) => readRange(context, start, end)
  const head = await headBehindTags(new FileView(media.size, read))
  return (await detectType(head)) === undefined
}

async function readFacts(context: StepContext): Promise<MediaFacts> {
  const { media, ffmpeg } = context
  const { delivery, ...probed } = await ffmpeg.probe(await toolRun(context))
  const seen = inputSize(probed.json)
  if (seen !== undefined && seen !== media.size)
    throw new Error(`ffprobe was given ${seen} bytes of ${media.size}`)
  const { decodes } = await ffmpeg.abilities()
  try {
    const isLengthExact = EXACT.includes(media.content_type)
    const facts = readProbe({ ...probed, size: media.size, isLengthExact })
    const isUndecodable = facts.picture_stream !== null && !decodes.has(facts.video_codec ?? '')
    return {
      ...facts,
      ...kindOf(context, facts),
      renditions_skipped: isUndecodable ? 'unsupported-codec' : null,
    }
  } catch (error) {
    if (delivery === 'sound') throw error
    throw new InputNotDelivered('ffprobe', { cause: error })
  }
}

/** The streams decide whether it is a video or a sound: the first bytes may be those of either. */
function kindOf({ media, accepted }: StepContext, { picture_stream }: MediaFacts): MediaFacts {
  const container = formatOfType(FORMATS, media.content_type ?? '')
  if (!container) throw new Error(`there is no format of the type ${media.content_type}`)
  const hasPicture = typeof picture_stream === 'number'
  const kind = hasPicture ? 'video' : 'audio'
  const format = formatByStreams(container, hasPicture)
  // Some containers have one type for both.
  if (!accepts(accepted, format) || !accepted.formats.some((one) => one.kind === kind))
    throw new ContentRejected({
      code: 'type-not-allowed',
      detail: hasPicture
        ? `The file has a picture: it is a video (${format.contentType}), which is not accepted.`
        : `The file has no picture: it is a sound (${format.contentType}), which is not accepted.`,
    })
  return { content_type: format.contentType, kind, filename: correctedName(media.filename, format) }
}

async function probeImage(context: StepContext): Promise<MediaFacts> {
  // Reads the header only; the limit on pixels is ours, below.
  const header = isOfFfmpeg(context.media)
    ? undefined
    : await lookAtHeader(context, (input) =>
        sharp(input, { limitInputPixels: false })
          .metadata()
          .catch((error: unknown) => (isUnsupported(error) ? undefined : Promise.reject(error))),
      )
  const { width, height, orientation, compression } = header ?? (await sizeOfSequence(context))
  const rotation = ROTATION_OF_ORIENTATION[orientation ?? 1] ?? 0
  const isTurned = rotation === 90 || rotation === 270
  return {
    ...(isTurned ? { width: height, height: width } : { width, height }),
    coded_width: width,
    coded_height: height,
    rotation,
    renditions_skipped: (await isUndecodable(context, compression)) ? 'unsupported-codec' : null,
  }
}

/** libvips reads the size of what it does not decode. */
const isUndecodable = async ({ media, converters }: StepContext, compression: string | undefined) =>
  compression === 'hevc' && !(await converters.canRead(media.content_type))

/** An animated AVIF, or a BMP, is a video for ffmpeg, and nothing for libvips. */
async function sizeOfSequence(context: StepContext) {
  const { media, ffmpeg, objects } = context
  const damage = () => asDamage(new UnreadableInput('the image cannot be read'), { media, objects })
  const run = await toolRun(context)
  if (run.demuxers.length === 0) throw await damage()
  const { json, times } = await ffmpeg.probe({ ...run, isQuick: true })
  const { width, height } = readStreams(json, times)?.picture ?? {}
  if (width === undefined || height === undefined) throw await damage()
  return { width, height, orientation: 1, compression: undefined }
}

function check(verdict: Verdict | undefined): void {
  if (verdict) throw new ContentRejected(verdict)
}
