import { ContentRejected } from '../../content/verdict.ts'
import { isOver } from '../../ledger/analyses.ts'
import { type MediaRow, mediaForJob, publishMedia } from '../../ledger/media.ts'
import { PermanentFailure } from '../failures/job-failures.ts'
import { makePublicCopy } from '../step/public-copy.ts'
import type { Step, StepContext, Tools } from '../step/step.ts'

const ENDED = { detail: { skipped: 'the media item has ended in the meantime' } }

/** Makes the media item `ready`, after its public copy where it is to be public. */
export const publish: Step = {
  name: 'publish',
  after: ['pre-publish'],
  isDue: isAnalysed,
  async run(context) {
    const { media, db, ends, objects, publicPrefix } = context
    checkAnalysis(context)
    const copy = publicPrefix === undefined ? undefined : await makePublicCopy(context, publicPrefix)
    if (copy?.kind === 'ended') return ENDED
    const published = await publishMedia(db, media.id)
    if (!published && (await mediaForJob(db, media.id))?.status !== 'ready') {
      // The removal that its end has enqueued runs after this job; the copy must not be public until then.
      if (copy?.kind === 'made') await objects.remove(copy.key)
      return ENDED
    }
    if (published) ends.media('media.ready', media, null)
    if (!copy) return {}
    return { detail: copy.kind === 'made' ? { copy: copy.key } : { skipped: copy.reason } }
  },
}

/** Whether the analysis engine has decided, where it has to. */
export function isAnalysed({ analysis }: Tools, media: MediaRow): boolean {
  return analysis?.mode !== 'gate' || (media.analysis !== null && isOver(media.analysis))
}

/** In `gate` mode the engine decides. */
function checkAnalysis({ media, analysis }: StepContext): void {
  if (analysis?.mode !== 'gate') return
  if (media.analysis?.verdict === 'reject')
    throw new ContentRejected({ code: 'analysis-rejected', detail: 'The analysis engine rejected the file.' })
  if (media.analysis?.verdict !== 'accept')
    throw new PermanentFailure({
      code: 'analysis-failed',
      detail: 'The file could not be analysed because of a failure on the server side.',
    })
}
