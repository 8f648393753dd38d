import type { MediaId, UploadId } from '../ledger/ids.ts'
import { failMedia, type MediaRow, mediaForJob, recordFacts, rejectMedia } from '../ledger/media.ts'
import { beginStep, endStep, type StepDetail, stepsDone } from '../ledger/steps.ts'
import type { Enqueue } from '../ledger/uploads.ts'
import { type Objects, StorageAway, StorageFull } from '../storage/objects.ts'
import { Undelivered } from './ffmpeg.ts'
import { BYTES_LOST, isLoss } from './loss.ts'
import { type Step, type Tools, whyNot } from './step.ts'
import { assemble } from './steps/assemble.ts'
import { audio } from './steps/audio.ts'
import { deepCheck } from './steps/deep-check.ts'
import { identify } from './steps/identify.ts'
import { image } from './steps/image.ts'
import { notify } from './steps/notify.ts'
import { probe } from './steps/probe.ts'
import { publish } from './steps/publish.ts'
import { scan } from './steps/scan.ts'
import { storyboard } from './steps/storyboard.ts'
import { thumbnail } from './steps/thumbnail.ts'
import { Rejected, Waiting } from './verdict.ts'

/** In this order. A step says itself which media it is for and what it makes of them. */
export const STEPS: readonly Step[] = [
  assemble,
  identify,
  scan,
  probe,
  deepCheck,
  thumbnail,
  storyboard,
  audio,
  image,
  publish,
  notify,
]

export type PipelineOptions = {
  tools: Tools
  /** Tells listeners which step an upload's file is in. */
  onStep: (uploadId: UploadId, step: string) => void
  enqueueRemoval: Enqueue<UploadId>
}

/**
 * Takes a media through the steps that it does not have behind it. Running it again changes nothing; a
 * media that has ended is left alone. A verdict against the file ends it as `rejected`, the loss of its bytes
 * as `failed`; other errors are thrown, for the queue to try again.
 */
export async function processMedia(
  options: PipelineOptions,
  id: MediaId,
  signal: AbortSignal,
): Promise<void> {
  const { tools, onStep } = options
  const { db } = tools
  const done = await stepsDone(db, id)
  for (const step of STEPS) {
    if (done.has(step.name)) continue
    signal.throwIfAborted()
    // Read anew each time: a step sees what the ones before it found, and a media may have ended.
    const media = await mediaForJob(db, id)
    if (!media || (media.status !== 'processing' && media.status !== 'ready')) return
    onStep(media.upload_id, step.name)
    const attempt = { mediaId: id, step: step.name, attempt: await beginStep(db, id, step.name) }
    try {
      const skipped = whyNot(step, media)
      const { facts, detail = {} } =
        skipped === undefined ? await step.run({ ...tools, media, signal }) : { detail: { skipped } }
      if (facts) await recordFacts(db, id, facts)
      await endStep(db, attempt, { status: 'done', detail })
    } catch (error) {
      if (!(error instanceof Rejected)) {
        await endStep(db, attempt, { status: 'failed', detail: describe(error) })
        await failIfLost(options, media, error)
        return
      }
      await rejectMedia(db, id, error.reason, options.enqueueRemoval)
      await endStep(db, attempt, { status: 'rejected', detail: error.reason })
      tools.announce(media.upload_id)
      return
    }
  }
}

/** Ends a media whose bytes are gone for good, which no attempt brings back. Throws every other error. */
async function failIfLost(
  { tools, enqueueRemoval }: PipelineOptions,
  media: MediaRow,
  error: unknown,
): Promise<void> {
  const told = await withOutagesToldApart(error, tools.objects)
  const isOutage = told instanceof Waiting && !(told instanceof Undelivered)
  if (isOutage || !(await isLoss(told, tools.objects, media))) throw told
  await failMedia(tools.db, media.id, BYTES_LOST, enqueueRemoval)
  tools.announce(media.upload_id)
}

/** The storage being away or full is waited for; anything else counts as an attempt. */
async function withOutagesToldApart(error: unknown, objects: Objects): Promise<unknown> {
  if (error instanceof Waiting && !(error instanceof Undelivered)) return error
  if (error instanceof StorageFull) return new Waiting('the storage is full', { cause: error })
  if (error instanceof StorageAway) return new Waiting('the storage is away', { cause: error })
  try {
    await objects.checkWritable()
    return error
  } catch {
    return new Waiting('the storage is away', { cause: error })
  }
}

function describe(error: unknown): StepDetail {
  return { error: error instanceof Error ? `${error.name}: ${error.message}` : String(error) }
}
