import type { Ledger } from '../ledger/database.ts'
import type { MediaFacts, MediaRow } from '../ledger/media.ts'
import type { StepDetail } from '../ledger/steps.ts'
import type { Format } from '../storage/formats.ts'
import type { MediaLimits } from '../storage/media-limits.ts'
import type { Objects } from '../storage/objects.ts'
import type { UploadBytes } from '../storage/storage.ts'
import type { Ffmpeg } from './ffmpeg.ts'
import type { Scanner } from './scanner.ts'

/** What every step may use. */
export type Tools = {
  db: Ledger
  objects: Objects
  bytes: UploadBytes
  ffmpeg: Ffmpeg
  /** Undefined when scanning is switched off. */
  scanner: Scanner | undefined
  allowedFormats: readonly Format[]
  limits: MediaLimits
  /** What the keys of public copies begin with; undefined where a ready file stays private. */
  publicPrefix: string | undefined
  /** Tells listeners that the ledger has news of an upload. */
  announce: (uploadId: string) => void
}

export type StepContext = Tools & {
  /** The media with the facts that earlier steps found. */
  media: MediaRow
  /** Aborted when the job is taken away or the worker stops. */
  signal: AbortSignal
}

export type StepResult = {
  /** Goes into the media's columns. */
  facts?: MediaFacts
  /** Goes into the step's record. */
  detail?: StepDetail
}

/**
 * One thing done to a received file. A step may run again after a crash at any moment, and by two
 * workers at once: the outcome must be the same. It throws `Rejected`, `Waiting`, or any other error
 * to be tried again.
 */
export type Step = { name: string; run: (context: StepContext) => Promise<StepResult> }
