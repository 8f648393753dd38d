import { mediaForJob, publishMedia } from '../../ledger/media.ts'
import type { Step } from '../step.ts'

/** Makes the media `ready`. On disk its bytes stay where they are. */
export const publish: Step = {
  name: 'publish',
  async run({ media, db }) {
    const published = await publishMedia(db, media.id)
    if (!published && (await mediaForJob(db, media.id))?.status !== 'ready') {
      return { detail: { skipped: 'the media has ended meanwhile' } }
    }
    return {}
  },
}
