import { MediaAnswer } from '../../hooks/own/answers.ts'
import type { OwnStep } from '../../hooks/own/own-step.ts'
import { mediaFacts } from '../../ledger/media-facts.ts'
import { withinTime } from '../../system/within-time.ts'
import { doAsDecided } from '../step/own-answer.ts'
import { withScratch } from '../step/scratch.ts'
import type { Step, StepContext } from '../step/step.ts'

const TIMEOUT_SECONDS = 300

/** A step of the application as one of ours. It sees no file that was not scanned and checked. */
export function ownStep(own: OwnStep): Step {
  const name = `own:${own.name}`
  return {
    name,
    after: ['deep-check', 'thumbnail', 'storyboard', 'audio', 'image'],
    ...(own.kinds ? { kinds: own.kinds } : {}),
    async run(context) {
      const { media, scratch } = context
      if (media.status !== 'processing') return { detail: { skipped: 'the media item is ready' } }
      const answer = own.usesFolder
        ? await withScratch(
            scratch,
            { name: `${media.id}.own-${own.name}`, bytes: 2 * media.size },
            (folder) => run(own, context, folder),
          )
        : await run(own, context, undefined)
      if (answer !== undefined && answer !== null) await doAsDecided(context, MediaAnswer.parse(answer))
      return {}
    },
  }
}

async function run(
  { run: work, timeoutSeconds = TIMEOUT_SECONDS }: OwnStep,
  { media, objects, signal: over }: StepContext,
  folder: string | undefined,
): Promise<unknown> {
  return await withinTime(timeoutSeconds * 1000, over, async (signal) =>
    work({
      media: structuredClone(mediaFacts(media)),
      signal,
      openFile: () => objects.read(media.storage_key, { etag: media.etag }),
      folder,
    }),
  )
}
