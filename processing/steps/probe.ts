import sharp from 'sharp'
import type { MediaFacts } from '../../ledger/media.ts'
import { FORMATS } from '../../storage/formats.ts'
import { damageOr } from '../damage.ts'
import { UnreadableInput } from '../ffmpeg.ts'
import { readProbe } from '../probe-report.ts'
import { qualityOf } from '../quality.ts'
import type { MediaLimits, Step, StepContext } from '../step.ts'
import { Rejected } from '../verdict.ts'

/** Reads what the media is like, and rejects what is damaged or outside the limits. */
export const probe: Step = {
  name: 'probe',
  async run(context) {
    const facts = context.media.kind === 'image' ? await probeImage(context) : await probeStreams(context)
    checkDuration(facts, context.limits)
    if (context.media.kind !== 'audio') checkDimensions(facts, context.limits)
    const { width, height } = facts
    return {
      facts: {
        ...facts,
        quality: width && height && context.media.kind === 'video' ? qualityOf(width, height) : null,
      },
    }
  },
}

async function probeStreams({ media, objects, ffmpeg, signal }: StepContext): Promise<MediaFacts> {
  const demuxers = FORMATS.find((f) => f.contentType === media.content_type)?.demuxers ?? []
  const input = await objects.toolInput(media.storage_key)
  try {
    const { json, complaints } = await ffmpeg.probe({ input, demuxers, signal })
    const facts = readProbe(json, { size: media.size, complaints })
    if (media.kind === 'video' && facts.width === null)
      throw new Rejected('no-picture', 'The file holds no video.')
    return facts
  } catch (error) {
    throw error instanceof UnreadableInput ? await damageOr(error, objects, media) : error
  }
}

async function probeImage({ media, objects }: StepContext): Promise<MediaFacts> {
  const input = await objects.toolInput(media.storage_key)
  try {
    // Reads the header only; the limit on pixels is ours, below.
    const { width, height, orientation } = await sharp(input, { limitInputPixels: false }).metadata()
    const isTurned = orientation !== undefined && orientation >= 5
    return { width: isTurned ? height : width, height: isTurned ? width : height }
  } catch (error) {
    throw await damageOr(error, objects, media)
  }
}

function checkDuration({ duration_seconds: seconds }: MediaFacts, limits: MediaLimits): void {
  if (seconds === undefined || seconds === null || seconds <= limits.maxDurationSeconds) return
  throw new Rejected(
    'too-long',
    `It lasts ${seconds.toFixed(1)} s; at most ${limits.maxDurationSeconds} s are accepted.`,
  )
}

function checkDimensions({ width, height }: MediaFacts, limits: MediaLimits): void {
  if (!width || !height) return
  const is = `It is ${width}×${height}`
  if (width > limits.maxWidth || height > limits.maxHeight) {
    throw new Rejected(
      'dimensions-too-large',
      `${is}; at most ${limits.maxWidth}×${limits.maxHeight} is accepted.`,
    )
  }
  if (width < limits.minWidth || height < limits.minHeight) {
    throw new Rejected(
      'dimensions-too-small',
      `${is}; at least ${limits.minWidth}×${limits.minHeight} is accepted.`,
    )
  }
}
