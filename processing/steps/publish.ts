import { isOver } from '../../ledger/analyses.ts'
import { findRendition, mediaForJob, publishMedia, recordRendition } from '../../ledger/media.ts'
import { FORMATS, formatOfType } from '../../storage/formats.ts'
import { publishedKey } from '../../storage/keys.ts'
import { servedAs } from '../../storage/served-as.ts'
import type { Step, StepContext } from '../step.ts'
import { GivenUp, Rejected } from '../verdict.ts'

const NOT_STRIPPED = 'there is no image without its metadata'
const ENDED = { detail: { skipped: 'the media has ended meanwhile' } }

/** Makes the media `ready`; before that, where it is to be public, it has a public copy. */
export const publish: Step = {
  name: 'publish',
  after: ['deep-check', 'thumbnail', 'storyboard', 'audio', 'image'],
  isDue: ({ analysis }, media) =>
    analysis?.mode !== 'gate' || (media.analysis !== null && isOver(media.analysis)),
  async run(context) {
    const { media, db, ends, objects, publicPrefix } = context
    checkAnalysis(context)
    const source = publicPrefix === undefined ? undefined : await sourceOf(context)
    const copy =
      source && publicPrefix !== undefined ? await recordCopy(context, publicPrefix, source) : undefined
    if (source && copy) {
      if (!copy.isRecorded) return ENDED
      await objects.copy(source.key, copy.key, servedAs(media.content_type), source.etag)
    }
    const published = await publishMedia(db, media.id)
    if (!published && (await mediaForJob(db, media.id))?.status !== 'ready') {
      // The removal that its end has enqueued comes again after this job, but public is public until then.
      if (copy) await objects.remove(copy.key)
      return ENDED
    }
    if (published) ends.media('media.ready', media, null)
    if (copy) return { detail: { copy: copy.key } }
    return publicPrefix === undefined ? {} : { detail: { skipped: NOT_STRIPPED } }
  },
}

/** Where the engine that analyses files has the last word. */
function checkAnalysis({ media, analysis }: StepContext): void {
  if (analysis?.mode !== 'gate') return
  if (media.analysis?.verdict === 'reject')
    throw new Rejected('analysis-rejected', 'The analysis of the file has found against it.')
  if (media.analysis?.verdict !== 'accept')
    throw new GivenUp({
      code: 'analysis-failed',
      detail: 'The file could not be analysed, for reasons that lie with this server.',
    })
}

type Source = { key: string; size: number; etag: string | null }

/**
 * What is made public: the file itself, but of an image only what has been stripped of where it was taken.
 * Undefined when that could not be made.
 */
async function sourceOf({ media, db }: StepContext): Promise<Source | undefined> {
  if (media.kind !== 'image') return { key: media.storage_key, size: media.size, etag: media.etag }
  const stripped = await findRendition(db, media, 'image')
  return stripped && { key: stripped.storage_key, size: stripped.size, etag: null }
}

/** Notes where the copy will be before it is made, so that whatever happens it will be removed with its media. */
async function recordCopy({ media, db }: StepContext, template: string, source: Source) {
  const extension = formatOfType(FORMATS, media.content_type ?? '')?.extensions[0] ?? 'bin'
  // An earlier attempt may have made it under another prefix.
  const earlier = await findRendition(db, media, 'published')
  const key = earlier?.storage_key ?? publishedKey(template, media, extension)
  const isRecorded = await recordRendition(db, {
    storage_backend: media.storage_backend,
    media_id: media.id,
    kind: 'published',
    storage_key: key,
    content_type: servedAs(media.content_type).contentType,
    width: media.width,
    height: media.height,
    size: source.size,
  })
  return { key, isRecorded }
}
