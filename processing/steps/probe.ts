import sharp from 'sharp'
import { judgeDimensions, judgeDuration } from '../../content/media-limits.ts'
import { ContentRejected, type Verdict } from '../../content/verdict.ts'
import type { MediaFacts } from '../../ledger/media.ts'
import { asDamage, withDamageConfirmed } from '../step/damage.ts'
import { lookAtHeader } from '../step/image-input.ts'
import type { Step, StepContext } from '../step/step.ts'
import { toolRun } from '../step/tool-run.ts'
import { inputSize, readProbe } from '../tools/probe-report.ts'
import { qualityOf } from '../tools/quality.ts'
import { InputNotDelivered, UnreadableInput } from '../tools/tool-errors.ts'
import { isRemote } from '../tools/tool-runner.ts'

/** Degrees clockwise, by EXIF orientation; every other value is also mirrored. */
const ROTATION_OF_ORIENTATION: readonly number[] = [0, 0, 0, 180, 180, 270, 90, 90, 270]

/** Reads the facts of the media item, and rejects what is damaged or outside the limits. */
export const probe: Step = {
  name: 'probe',
  // No decoder opens a file before the scanner has passed it.
  after: ['scan'],
  resource: 'decode',
  async run(context) {
    const facts = context.media.kind === 'image' ? await probeImage(context) : await probeStreams(context)
    const { width, height } = facts
    check(judgeDuration(facts.duration_seconds, context.limits))
    if (context.media.kind !== 'audio') check(judgeDimensions(width, height, context.limits))
    return {
      facts: {
        ...facts,
        quality: width && height && context.media.kind === 'video' ? qualityOf(width, height) : null,
      },
    }
  },
}

async function probeStreams(context: StepContext): Promise<MediaFacts> {
  const input = await context.objects.toolInput(context.media.storage_key)
  return isRemote(input)
    ? await withDamageConfirmed(context, () => readStreams(context))
    : await readStreams(context).catch(async (error: unknown) => {
        throw error instanceof UnreadableInput ? await asDamage(error, context) : error
      })
}

async function readStreams(context: StepContext): Promise<MediaFacts> {
  const { media, ffmpeg } = context
  const { json, complaints, delivery } = await ffmpeg.probe(await toolRun(context))
  const size = inputSize(json)
  if (size !== undefined && size !== media.size)
    throw new Error(`ffprobe was given ${size} bytes of ${media.size}`)
  try {
    const facts = readProbe(json, { size: media.size, complaints })
    if (media.kind === 'video' && facts.width === null)
      throw new ContentRejected({ code: 'no-picture', detail: 'The file contains no video.' })
    return facts
  } catch (error) {
    if (delivery === 'sound') throw error
    throw new InputNotDelivered('ffprobe', { cause: error })
  }
}

async function probeImage(context: StepContext): Promise<MediaFacts> {
  // Reads the header only; the limit on pixels is ours, below.
  const { width, height, orientation } = await lookAtHeader(context, (input) =>
    sharp(input, { limitInputPixels: false }).metadata(),
  )
  const rotation = ROTATION_OF_ORIENTATION[orientation ?? 1] ?? 0
  const isTurned = rotation === 90 || rotation === 270
  return { width: isTurned ? height : width, height: isTurned ? width : height, rotation }
}

function check(verdict: Verdict | undefined): void {
  if (verdict) throw new ContentRejected(verdict)
}
