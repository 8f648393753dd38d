import { ContentRejected } from '../../content/verdict.ts'
import { METADATA_LIMITS } from '../../hooks/description-limits.ts'
import type { MediaDecision } from '../../hooks/own/answers.ts'
import { patchMedia } from '../../ledger/media-patch.ts'
import type { StepContext } from './step.ts'

/** Does what a hook or a step of the application has decided. Fails with `ContentRejected` where it refuses the file. */
export async function doAsDecided(
  { db, media, notifyListeners }: StepContext,
  { refuse, ...patch }: MediaDecision,
): Promise<void> {
  if (refuse) throw new ContentRejected({ code: 'refused-by-hook', detail: refuse.message })
  if (Object.keys(patch).length === 0) return
  const { owner_id: ownerId, id } = media
  const result = await patchMedia(db, { ownerId, id }, patch, METADATA_LIMITS)
  if (result.kind === 'too-large')
    throw new Error(`with what a hook adds, the metadata has ${result.keys} keys and ${result.bytes} bytes`)
  if (result.kind === 'patched' && result.isChanged) notifyListeners(media.upload_id)
}
