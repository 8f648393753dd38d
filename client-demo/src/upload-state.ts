import type { MediaKind, Reason, Step } from './contract.ts'

/** Where one chosen file stands. `state` is also what the row shows as `data-state`. */
export type UploadPhase =
  | {
      readonly state: 'uploading'
      readonly bytes: number
      /** Null until there is enough to tell. */
      readonly bytesPerSecond: number | null
      readonly etaSeconds: number | null
      /** `waiting`: for its turn; `retrying`: the connection broke, or the server asked for patience. */
      readonly activity: 'waiting' | 'sending' | 'retrying'
    }
  | { readonly state: 'paused'; readonly bytes: number }
  | { readonly state: 'processing'; readonly step: Step | null }
  | { readonly state: 'ready'; readonly mediaId: string }
  /** A verdict against the file: sending it again cannot help. */
  | { readonly state: 'rejected'; readonly reason: Reason }
  /** Something else went wrong: it can be tried again, and goes on where it stopped. */
  | { readonly state: 'failed'; readonly reason: Reason; readonly canRetry: boolean }
  | { readonly state: 'cancelled' }

export type UploadState = UploadPhase['state']

export interface Upload {
  /** Of this row; the same file chosen twice is two rows. */
  readonly id: number
  readonly name: string
  readonly size: number
  readonly kind: MediaKind | null
  /** The server's id; null until the upload has been created there. */
  readonly uploadId: string | null
  readonly phase: UploadPhase
}

export const waiting = {
  state: 'uploading',
  bytes: 0,
  bytesPerSecond: null,
  etaSeconds: null,
  activity: 'waiting',
} as const satisfies UploadPhase

/** Bytes are still to be sent, now or after a pause. */
export function isUnderWay(upload: Upload): boolean {
  return upload.phase.state === 'uploading' || upload.phase.state === 'paused'
}

/** Nothing more will happen to the row by itself. */
export function isFinished(upload: Upload): boolean {
  return !isUnderWay(upload) && upload.phase.state !== 'processing'
}
