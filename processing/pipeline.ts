import type { AcceptedTypes } from '../content/accepted-types.ts'
import { ContentRejected } from '../content/verdict.ts'
import type { OwnStep } from '../hooks/own/own-step.ts'
import type { JobKind } from '../jobs/queues.ts'
import { groupOf } from '../jobs/shares.ts'
import { parkMedia } from '../ledger/analyses.ts'
import type { EnqueueRemoval } from '../ledger/due-work.ts'
import type { MediaId, UploadId } from '../ledger/ids.ts'
import { failMedia, type MediaRow, mediaForJob, rejectMedia } from '../ledger/media.ts'
import { databaseOutage, isNetworkError } from '../ledger/outages.ts'
import type { Reason } from '../ledger/schema.ts'
import { beginStep, endStep, forgetAttempt, type StepDetail, stepsDone } from '../ledger/steps.ts'
import { endCopying } from '../ledger/stray-copies.ts'
import { StorageFull, StorageUnavailable } from '../storage/store/objects.ts'
import { isCode } from '../system/error-code.ts'
import { PermanentFailure, RetryLater } from './failures/job-failures.ts'
import { acceptedFor } from './step/accepted-for.ts'
import { LocalCopy } from './step/local-copy.ts'
import type { ResourceLimits } from './step/resource-limits.ts'
import { type Step, type StepResult, SWITCHED_OFF, skipReason, type Tools } from './step/step.ts'
import { analysis } from './steps/analysis.ts'
import { assemble } from './steps/assemble.ts'
import { audio } from './steps/audio.ts'
import { deepCheck } from './steps/deep-check.ts'
import { hls } from './steps/hls.ts'
import { identify } from './steps/identify.ts'
import { image } from './steps/image.ts'
import { notify } from './steps/notify.ts'
import { ownStep } from './steps/own-step.ts'
import { prePublish } from './steps/pre-publish.ts'
import { probe } from './steps/probe.ts'
import { publish } from './steps/publish.ts'
import { scan } from './steps/scan.ts'
import { storyboard } from './steps/storyboard.ts'
import { thumbnail } from './steps/thumbnail.ts'
import { BYTES_LOST, isBytesLost } from './tools/bytes-lost.ts'
import { InputNotDelivered } from './tools/tool-errors.ts'

/** Every step. Each declares what it depends on, which media it is for and what it produces. */
export const STEPS: readonly Step[] = [
  assemble,
  identify,
  scan,
  probe,
  analysis,
  deepCheck,
  thumbnail,
  storyboard,
  audio,
  image,
  prePublish,
  publish,
  notify,
  hls,
]

/** With those that the application adds, which are done before its hooks are asked. */
function stepsWith(own: readonly OwnStep[]): readonly Step[] {
  if (own.length === 0) return STEPS
  const added = own.map(ownStep)
  const names = added.map(({ name }) => name)
  return [
    ...STEPS.map((step) => (step === prePublish ? { ...step, after: [...step.after, ...names] } : step)),
    ...added,
  ]
}

export type PipelineOptions = {
  tools: Tools
  resourceLimits: ResourceLimits
  /** Publishes which step a file is in. */
  onStep: (uploadId: UploadId, step: string) => void
  enqueueRemoval: EnqueueRemoval
  /** Enqueues a job of another kind. A repeated call may enqueue it twice. */
  handOver: (kind: JobKind, media: MediaRow) => Promise<void>
}

export type ProcessingTask = {
  id: MediaId
  kind: JobKind
  /** When the job began to wait for scratch space (milliseconds since the epoch). */
  roomSince?: number | undefined
  signal: AbortSignal
  /** Whether the queue does not retry after this attempt. */
  isLastAttempt?: boolean
}

/**
 * Runs the steps of one kind of job that a media item has not had yet, in parallel where they do not depend on each
 * other. Idempotent; a media item that has ended is left alone. A verdict ends it as `rejected`, a permanent failure as
 * `failed`. Other errors are thrown for the queue to retry, once everything that does not depend on the failed step is
 * done.
 */
export async function processMedia(options: PipelineOptions, task: ProcessingTask): Promise<void> {
  const { tools } = options
  await endCopying(tools.db, task.id)
  const behind = await stepsDone(tools.db, task.id)
  const steps = stepsWith(tools.hooks?.steps ?? [])
  const done = steps.filter(({ name, skip }) => {
    const detail = behind.get(name)
    const isWantedByNow = detail?.skipped === SWITCHED_OFF && skip?.(tools) === undefined
    return detail !== undefined && !isWantedByNow
  })
  const copy = new LocalCopy(tools.scratch)
  try {
    await new Run(options, task, { steps, done: new Set(done.map(({ name }) => name)), copy }).finish()
  } finally {
    await copy.close()
  }
}

/** One job for one media item. */
class Run {
  readonly #options: PipelineOptions
  readonly #task: ProcessingTask
  readonly #copy: LocalCopy
  readonly #steps: readonly Step[]
  readonly #done: Set<string>
  readonly #begun: Set<string>
  readonly #running = new Set<Promise<void>>()
  readonly #failures: unknown[] = []
  #accepted: AcceptedTypes | undefined
  /** Aborts the other steps when there is a verdict. */
  readonly #verdict = new AbortController()
  readonly #signal: AbortSignal
  #isOver = false

  constructor(
    options: PipelineOptions,
    task: ProcessingTask,
    { steps, done, copy }: { steps: readonly Step[]; done: Set<string>; copy: LocalCopy },
  ) {
    this.#options = options
    this.#task = task
    this.#copy = copy
    this.#steps = steps
    this.#done = done
    this.#begun = new Set(done)
    this.#signal = AbortSignal.any([task.signal, this.#verdict.signal])
  }

  async finish(): Promise<void> {
    this.#begin()
    while (this.#running.size > 0) await Promise.race(this.#running)
    if (this.#isOver) return
    // A failed attempt counts, even where another step only waits.
    const failure = this.#failures.find((error) => !(error instanceof RetryLater)) ?? this.#failures[0]
    if (failure !== undefined) throw failure
    this.#task.signal.throwIfAborted()
  }

  /** Starts every step whose dependencies are done. */
  #begin(): void {
    if (this.#isOver || this.#signal.aborted) return
    for (const step of this.#steps) {
      if (this.#begun.has(step.name) || !step.after.every((name) => this.#done.has(name))) continue
      if (this.#task.kind !== 'processing' && step.job !== this.#task.kind) continue
      this.#begun.add(step.name)
      const running = this.#take(step)
        .catch((error: unknown) => void this.#failures.push(error))
        .finally(() => {
          this.#running.delete(running)
          this.#begin()
        })
      this.#running.add(running)
    }
  }

  async #take(step: Step): Promise<void> {
    const { tools, resourceLimits, handOver } = this.#options
    const media = await this.#media()
    if (!media) return
    if (step.isDue?.(tools, media) === false && (await parkMedia(tools.db, media.id))) return
    const skipped = skipReason(step, tools, media)
    if (skipped !== undefined) return await this.#record(step, media, async () => ({ detail: { skipped } }))
    const kind = step.job ?? 'processing'
    if (kind !== this.#task.kind) return await handOver(kind, media)
    if (step.resource === undefined) return await this.#run(step)
    const { id: group } = groupOf(media.owner_id, media.size)
    await resourceLimits.within(step.resource, group, this.#signal, () => this.#run(step))
  }

  async #run(step: Step): Promise<void> {
    const media = await this.#media()
    if (!media) return
    const { tools } = this.#options
    const { isLastAttempt = false } = this.#task
    await this.#record(step, media, async () => {
      const { storage } = tools
      const stored = { objects: await storage.objectsOf(media), bytes: await storage.bytesOf(media) }
      const scratch = { ...tools.scratch, waitsSince: this.#task.roomSince }
      this.#accepted ??= await acceptedFor(tools.db, media, tools.accepted)
      return await step.run({
        ...tools,
        accepted: this.#accepted,
        ...stored,
        scratch,
        copy: this.#copy,
        media,
        signal: this.#signal,
        isLastAttempt,
      })
    })
  }

  /** The current row, with the facts of earlier steps. Undefined when the media item has ended. */
  async #media(): Promise<MediaRow | undefined> {
    const media = await mediaForJob(this.#options.tools.db, this.#task.id)
    if (media?.status === 'processing' || media?.status === 'ready') return media
    this.#isOver = true
    return undefined
  }

  /** Runs a step and records the result. */
  async #record(step: Step, media: MediaRow, run: () => Promise<StepResult>): Promise<void> {
    const { tools, onStep } = this.#options
    const { db } = tools
    onStep(media.upload_id, step.name)
    const attempt = { mediaId: media.id, step: step.name, attempt: await beginStep(db, media.id, step.name) }
    try {
      const { facts, detail = {} } = await run()
      if (await endStep(db, attempt, { status: 'done', detail, facts })) this.#done.add(step.name)
      // It was deleted meanwhile. Where it is restored, another job goes on.
      else this.#isOver = true
    } catch (error) {
      if (error instanceof ContentRejected) {
        await this.#end('rejected', media, error.verdict)
        await endStep(db, attempt, { status: 'rejected', detail: error.verdict })
        return
      }
      // A step that was aborted by another's verdict has no result of its own.
      const { storage } = tools
      const judged = this.#verdict.signal.aborted ? { error } : await judge(error, storage, media)
      // Waiting does not count as an attempt.
      if ('error' in judged && judged.error instanceof RetryLater) await forgetAttempt(db, attempt)
      else await endStep(db, attempt, { status: 'failed', detail: describe(error) })
      if ('error' in judged) throw judged.error
      await this.#end('failed', media, judged.reason)
    }
  }

  /** Records that a media item is rejected or failed, and aborts its other steps. */
  async #end(as: 'rejected' | 'failed', media: MediaRow, reason: Reason): Promise<void> {
    const { tools, enqueueRemoval } = this.#options
    this.#verdict.abort()
    const end = as === 'rejected' ? rejectMedia : failMedia
    const hasEnded = await end(tools.db, media.id, reason, enqueueRemoval)
    this.#isOver = true
    if (hasEnded) tools.ends.media(`media.${as}`, media, reason)
    tools.notifyListeners(media.upload_id, 'removal')
  }
}

/** The reason of a permanent failure, also where bytes are lost; or the error to throw, as `RetryLater` in an outage. */
async function judge(
  error: unknown,
  storage: Tools['storage'],
  media: MediaRow,
): Promise<{ reason: Reason } | { error: unknown }> {
  if (error instanceof PermanentFailure) return { reason: error.reason }
  const translated = await asOutage(error, async () => (await storage.objectsOf(media)).checkWritable())
  const isOutage = translated instanceof RetryLater && !(translated instanceof InputNotDelivered)
  if (isOutage) return { error: translated }
  try {
    return (await isBytesLost(translated, await storage.objectsOf(media), media))
      ? { reason: BYTES_LOST }
      : { error: translated }
  } catch (failure) {
    return { error: failure }
  }
}

/** Turns an outage, or a full storage, into `RetryLater`; any other error is returned as it is. */
async function asOutage(error: unknown, checkWritable: () => Promise<void>): Promise<unknown> {
  if (error instanceof RetryLater && !(error instanceof InputNotDelivered)) return error
  if (error instanceof StorageFull || isCode(error, 'ENOSPC', 'EDQUOT'))
    return new RetryLater('the storage is full', { cause: error })
  if (error instanceof StorageUnavailable)
    return new RetryLater('the storage is unavailable', { cause: error })
  if (isOfDatabase(error)) return new RetryLater('the database is unavailable', { cause: error })
  try {
    await checkWritable()
    return error
  } catch {
    return new RetryLater('the storage is unavailable', { cause: error })
  }
}

/** Network errors alone may come from a tool or an engine. */
const isOfDatabase = (error: unknown): boolean =>
  !isNetworkError(error) && databaseOutage(error) !== undefined

function describe(error: unknown): StepDetail {
  return { error: error instanceof Error ? `${error.name}: ${error.message}` : String(error) }
}
