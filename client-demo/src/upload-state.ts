import type { MediaKind, Reason, Step } from './contract.ts'

/**
 * Where one chosen file stands: in the words of the server, beside `stopped`, of which only this page knows. `state` is also
 * what the row shows as `data-state`.
 */
export type UploadPhase =
  | {
      readonly state: 'open'
      readonly bytes: number
      /** Null until there is enough to tell. */
      readonly bytesPerSecond: number | null
      readonly etaSeconds: number | null
      /** `waiting`: for its turn; `retrying`: the connection broke, or the server asked for patience; `paused`: by a person. */
      readonly activity: 'waiting' | 'sending' | 'retrying' | 'paused'
    }
  | { readonly state: 'processing'; readonly step: Step | null }
  | { readonly state: 'ready'; readonly mediaId: string }
  /** A verdict against the file: sending it again cannot help. */
  | { readonly state: 'rejected'; readonly reason: Reason }
  /** Processing failed, which is the fault of the server. */
  | { readonly state: 'failed'; readonly reason: Reason }
  /** Sending was given up: it can be tried again, and goes on where it stopped. */
  | { readonly state: 'stopped'; readonly reason: Reason }
  | { readonly state: 'terminated' | 'expired' | 'deleted' }

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
  state: 'open',
  bytes: 0,
  bytesPerSecond: null,
  etaSeconds: null,
  activity: 'waiting',
} as const satisfies UploadPhase

/** Bytes are still to be sent, now or after a pause. */
export function isUnderWay(upload: Upload): boolean {
  return upload.phase.state === 'open'
}

/** Bytes go out, or will by themselves. */
export function isSending({ phase }: Upload): boolean {
  return phase.state === 'open' && phase.activity !== 'paused'
}

/** Nothing more will happen to the row by itself. */
export function isFinished(upload: Upload): boolean {
  return !isUnderWay(upload) && upload.phase.state !== 'processing'
}
