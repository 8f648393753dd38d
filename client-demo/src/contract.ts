/** The JSON of the server's API, as this page uses it. Times are ISO 8601, sizes bytes, durations seconds. */

/** `document` and `file` are downloaded, not shown. */
export type MediaKind = 'video' | 'image' | 'audio' | 'document' | 'file'

/** The states of docs/states.md: the same words here, in the API and in its events. */
export const mediaStatuses = ['processing', 'ready', 'rejected', 'failed', 'deleted'] as const
export type MediaStatus = (typeof mediaStatuses)[number]
export const uploadStates = ['open', 'received', 'terminated', 'expired', 'rejected'] as const
export type ServerUploadState = (typeof uploadStates)[number]

/** Why a file or a request was refused: `code` is stable, `detail` is a sentence. */
export interface Reason {
  readonly code: string
  readonly detail: string
}

export interface Media {
  readonly id: string
  readonly uploadId: string
  readonly filename: string
  readonly contentType: string | null
  readonly kind: MediaKind | null
  readonly size: number
  readonly sha256: string | null
  readonly status: MediaStatus
  readonly reason: Reason | null
  readonly durationSeconds: number | null
  readonly width: number | null
  readonly height: number | null
  readonly fps: number | null
  readonly videoCodec: string | null
  readonly audioCodec: string | null
  readonly hasAudio: boolean | null
  /** Bits a second. */
  readonly bitrate: number | null
  readonly quality: string | null
  /** Signed links, usable in `src` without a token; null until the media is ready. */
  readonly thumbnailUrl: string | null
  readonly contentUrl: string | null
  /** The same as HLS; null where there are no renditions (yet). */
  readonly hlsUrl: string | null
  readonly createdAt: string
  readonly readyAt: string | null
}

export interface Page<T> {
  readonly items: readonly T[]
  readonly nextCursor: string | null
}

/** An upload as the server knows it (a row on the page is an `Upload` of upload-state.ts). */
export interface ServerUpload {
  readonly id: string
  readonly state: ServerUploadState
  readonly filename: string
  readonly offset: number
  readonly size: number | null
  readonly percent: number | null
  readonly mediaId: string | null
  readonly reason: Reason | null
  readonly expiresAt: string | null
}

export interface Formats {
  readonly types: readonly {
    readonly contentType: string
    readonly extensions: readonly string[]
    readonly kind: MediaKind
  }[]
  // Such as `text/csv`, `text/*`, and `*/*` for any file.
  readonly others: readonly string[]
  readonly minSize: number
  readonly maxSize: number
  readonly maxDurationSeconds: number
  readonly minWidth: number
  readonly minHeight: number
  readonly maxWidth: number
  readonly maxHeight: number
}

export interface Quota {
  readonly bytes: {
    readonly limit: number | null
    readonly used: number
    readonly reserved: number
    /** The part of `reserved` that is of partial uploads: of files that arrive in parallel pieces. */
    readonly reservedByPartials: number
  }
  readonly uploads: {
    readonly limit: number | null
    readonly finished: number
    readonly open: number
    readonly maxOpen: number
    readonly partials: number
  }
}

export const steps = [
  'assemble',
  'identify',
  'scan',
  'probe',
  'thumbnail',
  'storyboard',
  'audio',
  'image',
  'publish',
  'notify',
] as const
export type Step = (typeof steps)[number]

/** An error body: RFC 9457 problem+json. */
export interface Problem extends Reason {
  readonly title: string
  readonly status: number
  readonly requestId?: string
  /** With `upload-rejected`: the verdict itself. */
  readonly reason?: Reason
}
