import { ContentRejected } from '../../content/verdict.ts'
import { withDamageConfirmed } from '../step/damage.ts'
import { type Step, type StepContext, SWITCHED_OFF } from '../step/step.ts'
import { toolRun } from '../step/tool-run.ts'
import { damageIn } from '../tools/damage-report.ts'
import { streamsOf } from '../tools/streams.ts'
import { InputNotDelivered, ToolFailed, UnreadableInput } from '../tools/tool-errors.ts'

/**
 * Decodes a video or audio file, whole or its key frames, and rejects what cannot be decoded. A file that takes too
 * long, or has a codec that this ffmpeg lacks, is accepted unchecked.
 */
export const deepCheck: Step = {
  name: 'deep-check',
  after: ['probe'],
  resource: 'decode',
  // The thumbnail step decodes images.
  kinds: ['video', 'audio'],
  skip: ({ deepCheck: depth }) => (depth === 'off' ? SWITCHED_OFF : undefined),
  async run(context) {
    const { renditions_skipped: skipped, has_audio } = context.media
    if (skipped !== null && !has_audio) return { detail: { skipped } }
    const depth = context.deepCheck === 'full' ? 'full' : 'quick'
    try {
      await withDamageConfirmed(context, () => decode(context, depth))
      return { detail: { depth } }
    } catch (error) {
      if (error instanceof ToolFailed && (error.kind === 'timed-out' || error.kind === 'bad-arguments'))
        return { detail: { skipped: error.kind } }
      throw error
    }
  },
}

async function decode(context: StepContext, depth: 'quick' | 'full') {
  const { media, ffmpeg } = context
  const { picture, sound } = streamsOf(media)
  const played = { picture: media.video_codec, sound: media.audio_codec }
  const hasPicture = media.kind === 'video' && media.renditions_skipped === null
  const looked = ffmpeg.decode({
    ...(await toolRun(context)),
    depth,
    picture: hasPicture ? { stream: picture, codec: media.video_codec } : undefined,
    sound: media.has_audio ? sound : undefined,
    seconds: media.duration_seconds ?? 0,
  })
  const { complaints, delivery } = await looked.catch((error: unknown) => {
    // A failure without a message about the file is no verdict on it.
    if (error instanceof UnreadableInput && damageIn(error.message, played) === undefined)
      throw new ToolFailed('ffmpeg failed without a complaint', 'bad-arguments', { cause: error })
    throw error
  })
  const damage = damageIn(complaints, played)
  if (damage === undefined) return
  const verdict = new ContentRejected({
    code: 'damaged',
    detail: 'The file is damaged: parts of it cannot be decoded.',
  })
  throw delivery === 'sound' ? verdict : new InputNotDelivered('ffmpeg', { cause: verdict })
}
