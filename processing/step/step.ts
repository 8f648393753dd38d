import type { AcceptedTypes } from '../../content/accepted-types.ts'
import type { MediaLimits } from '../../content/media-limits.ts'
import type { OwnHooks } from '../../hooks/own/own-hooks.ts'
import type { JobKind, QueueKey } from '../../jobs/queues.ts'
import type { Ledger } from '../../ledger/database.ts'
import type { EnqueueProcessing } from '../../ledger/due-work.ts'
import type { EndLog } from '../../ledger/end-log.ts'
import type { MediaFacts, MediaRow } from '../../ledger/media.ts'
import type { MediaKind } from '../../ledger/schema.ts'
import type { StepDetail } from '../../ledger/steps.ts'
import type { Storage } from '../../storage/storage.ts'
import type { RenditionKind } from '../../storage/store/keys.ts'
import type { Objects } from '../../storage/store/objects.ts'
import type { UploadBytes } from '../../storage/store/upload-bytes.ts'
import type { AnalysisOptions } from '../analysis/engine.ts'
import type { Converters } from '../tools/converters.ts'
import type { Ffmpeg } from '../tools/ffmpeg.ts'
import type { Scanner } from '../tools/scanner.ts'
import type { LocalCopy } from './local-copy.ts'
import type { LimitedResource } from './resource-limits.ts'
import type { Scratch } from './scratch.ts'

/** What every step may use. */
export type Tools = {
  db: Ledger
  /** Gives the backend that the row of a media item names. */
  storage: Pick<Storage, 'objectsOf' | 'bytesOf' | 'bytes'>
  ffmpeg: Ffmpeg
  converters: Converters
  /** Undefined when scanning is switched off. */
  scanner: Scanner | undefined
  accepted: AcceptedTypes
  limits: MediaLimits
  /** How much of a video or audio file is decoded to see whether that works. */
  deepCheck: 'off' | 'quick' | 'full'
  /** Whether a file that is too large for the scanner is rejected. */
  scanOversize: 'reject' | 'accept'
  /** Whether files that their owner has already are noted, or rejected. */
  dedup: 'off' | 'report' | 'reject'
  /** Prefix of the keys of public copies; undefined where ready files stay private. */
  publicPrefix: string | undefined
  /** Where in a video the picture is taken, and its widths in pixels; the first is that of the main picture. */
  thumbnails: { atSeconds: number; widths: readonly number[] }
  /**
   * Renditions for streaming, in these heights in pixels, without those above that of the video; undefined when they are
   * switched off.
   */
  hls: { heights: readonly number[] } | undefined
  /** The engine that analyses files and may reject them; undefined where there is none. */
  analysis: AnalysisOptions | undefined
  /** Of the application; undefined where it has none. */
  hooks: OwnHooks | undefined
  /** Scratch folders; nothing is written elsewhere. */
  scratch: Scratch
  /** Publishes that the ledger has new events of an upload, and a new job of this kind. */
  notifyListeners: (uploadId: string, queue?: QueueKey) => void
  enqueueProcessing: EnqueueProcessing
  ends: EndLog
}

export type StepContext = Omit<Tools, 'storage'> & {
  /** The backend of the media item. */
  objects: Objects
  bytes: UploadBytes
  /** The file on this machine, where the bucket is far; undefined where there is none. */
  copy?: LocalCopy | undefined
  /** With the facts that earlier steps found. */
  media: MediaRow
  /** Aborted when the job is taken away or the worker stops. */
  signal: AbortSignal
  /** Whether the job is not tried again when this attempt fails. */
  isLastAttempt: boolean
}

export type StepResult = {
  /** For the columns of the media item. */
  facts?: MediaFacts
  /** For the record of the step. */
  detail?: StepDetail
}

/**
 * One thing done to a received file. A step may run again after a crash at any moment, beside other steps of its file,
 * and in two workers at once: the outcome must be the same. It throws `ContentRejected`, `PermanentFailure`,
 * `RetryLater`, or any other error to be retried.
 */
export type Step = {
  name: string
  /** Steps that have to be done before it. */
  after: readonly string[]
  /** The kind of job that runs it; by default `processing`, which makes a file ready. */
  job?: JobKind
  /** The resource that it waits for; without one, it starts at once. */
  resource?: LimitedResource
  /** Kinds of media that it is run for; without it, all. For others it is recorded as skipped. */
  kinds?: readonly MediaKind[]
  /** It is skipped where one of these facts is missing or false. */
  needs?: readonly (keyof MediaFacts)[]
  /** It decodes the picture of a video: it is skipped where ffmpeg lacks the codec. */
  decodesPicture?: boolean
  /** Why it is skipped with these tools; undefined where it is run. */
  skip?: (tools: Tools) => string | undefined
  /** Whether it may run yet. Where not, the change that allows it has the media item processed again. */
  isDue?: (tools: Tools, media: MediaRow) => boolean
  /** Kinds of renditions that it may store. */
  produces?: readonly RenditionKind[]
  run: (context: StepContext) => Promise<StepResult>
}

/** Skip reason of a step that is switched off. Once it is switched on, it does not count as done. */
export const SWITCHED_OFF = 'switched off'

/** Why a step is not run for a media item; undefined where it is run. */
export function skipReason(
  { kinds, needs = [], decodesPicture = false, skip }: Step,
  tools: Tools,
  media: MediaRow,
): string | undefined {
  if (kinds && !kinds.some((kind) => kind === media.kind)) return `not for ${media.kind ?? 'an unknown kind'}`
  if (decodesPicture && media.renditions_skipped) return media.renditions_skipped
  const missing = needs.find((fact) => !media[fact])
  return missing === undefined ? skip?.(tools) : `there is no ${missing}`
}
