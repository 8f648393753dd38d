import { MediaAnswer } from '../../hooks/own/answers.ts'
import { HookUnavailable } from '../../hooks/own/own-hooks.ts'
import { mediaForJob } from '../../ledger/media.ts'
import { mediaFacts } from '../../ledger/media-facts.ts'
import { RetryLater } from '../failures/job-failures.ts'
import { doAsDecided } from '../step/own-answer.ts'
import { type Step, type StepContext, SWITCHED_OFF } from '../step/step.ts'
import { isAnalysed } from './publish.ts'

/** Asks the hooks of the application about a file that is about to become ready. */
export const prePublish: Step = {
  name: 'pre-publish',
  after: ['deep-check', 'thumbnail', 'storyboard', 'audio', 'image'],
  skip: ({ hooks }) => (hooks ? undefined : SWITCHED_OFF),
  isDue: isAnalysed,
  async run(context) {
    const { hooks, media } = context
    if (!hooks) throw new Error('there are no hooks to ask')
    // One that was processed by an earlier release.
    if (media.status !== 'processing') return { detail: { skipped: 'the media item is ready' } }
    for (const source of hooks.sources) await ask(context, hooks, source)
    return {}
  },
}

type Hooks = NonNullable<StepContext['hooks']>

async function ask(context: StepContext, hooks: Hooks, source: Hooks['sources'][number]): Promise<void> {
  const { db, objects, signal } = context
  // As the source before has changed it.
  const media = await mediaForJob(db, context.media.id)
  if (media?.status !== 'processing') return
  const question = {
    hook: 'pre-publish' as const,
    id: `pre-publish_${media.id}`,
    data: { media: mediaFacts(media) },
    openFile: () => objects.read(media.storage_key, { etag: media.etag }),
  }
  const decision = await hooks
    .ask(source, question, (answer) => MediaAnswer.parse(answer), signal)
    .catch((error: unknown) => {
      if (!(error instanceof HookUnavailable)) throw error
      throw new RetryLater('a hook of the application could not be asked', { cause: error })
    })
  if (decision) await doAsDecided(context, decision)
}
