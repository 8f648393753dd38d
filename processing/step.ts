import type { Ledger } from '../ledger/database.ts'
import type { MediaFacts, MediaRow } from '../ledger/media.ts'
import type { MediaKind } from '../ledger/schema.ts'
import type { StepDetail } from '../ledger/steps.ts'
import type { Format } from '../storage/formats.ts'
import type { RenditionKind } from '../storage/keys.ts'
import type { MediaLimits } from '../storage/media-limits.ts'
import type { Objects } from '../storage/objects.ts'
import type { UploadBytes } from '../storage/storage.ts'
import type { Ffmpeg } from './ffmpeg.ts'
import type { Scanner } from './scanner.ts'

export type ThumbnailOptions = {
  /** Where in a video the picture is taken. */
  atSeconds: number
  /** Pixels; the first is that of the main one. */
  widths: readonly number[]
}

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
  /** How much of a video or a sound is decoded to see whether it can be. */
  deepCheck: 'off' | 'quick' | 'full'
  /** What becomes of a file that is larger than the scanner can look at. */
  scanOversize: 'reject' | 'accept'
  /** What the keys of public copies begin with; undefined where a ready file stays private. */
  publicPrefix: string | undefined
  thumbnails: ThumbnailOptions
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
export type Step = {
  name: string
  /** Kinds of media that it is for; without it, all. Others go past it, with a detail that says so. */
  kinds?: readonly MediaKind[]
  /** Facts without which, or where they are false, there is nothing to do. */
  needs?: readonly (keyof MediaFacts)[]
  /** Kinds of renditions that it may store. */
  produces?: readonly RenditionKind[]
  run: (context: StepContext) => Promise<StepResult>
}

/** Why a step has nothing to do with a media; undefined when it has. */
export function whyNot({ kinds, needs = [] }: Step, media: MediaRow): string | undefined {
  if (kinds && !kinds.some((kind) => kind === media.kind)) return `not for ${media.kind ?? 'an unknown kind'}`
  const missing = needs.find((fact) => !media[fact])
  return missing === undefined ? undefined : `there is no ${missing}`
}
