import type { Api } from './api.ts'
import type { Media, Reason, Step } from './contract.ts'
import { ApiError } from './problem.ts'
import { followUpload, pause } from './upload-events.ts'

/** What became of a received file. */
export type Outcome =
  | { readonly kind: 'media'; readonly media: Media }
  | { readonly kind: 'rejected'; readonly reason: Reason }
  | { readonly kind: 'gone' }

export interface MediaWatch {
  /** Resolves when processing has ended. `onStep` is told which step runs. Rejects only when aborted. */
  outcome(uploadId: string, onStep: (step: Step) => void, signal: AbortSignal): Promise<Outcome>
}

/**
 * A browser opens six connections to a host over HTTP/1.1, and three uploads want theirs: two streams at a time
 * leave one free for everything else. Whoever gets no stream asks every few seconds instead.
 */
const maxStreams = 2
const pollMs = 2_500

export function createMediaWatch(api: Api): MediaWatch {
  let streams = 0

  async function wait(uploadId: string, onStep: (step: Step) => void, signal: AbortSignal): Promise<void> {
    if (streams >= maxStreams) return pause(pollMs, signal)
    streams += 1
    try {
      await followUpload(api, uploadId, { onStep }, signal)
    } finally {
      streams -= 1
    }
  }

  return {
    async outcome(uploadId, onStep, signal) {
      for (;;) {
        await wait(uploadId, onStep, signal)
        const outcome = await readOutcome(api, uploadId)
        signal.throwIfAborted()
        if (outcome !== null) return outcome
        await pause(pollMs / 2, signal)
      }
    },
  }
}

/** The truth from the API, or null while it is not decided (or the server cannot be asked just now). */
async function readOutcome(api: Api, uploadId: string): Promise<Outcome | null> {
  try {
    const upload = await api.upload(uploadId)
    if (upload.mediaId !== null) {
      const media = await api.media(upload.mediaId)
      return media.status === 'processing' ? null : { kind: 'media', media }
    }
    if (upload.state === 'rejected') {
      return { kind: 'rejected', reason: upload.reason ?? { code: 'upload-rejected', detail: '' } }
    }
    return upload.state === 'terminated' || upload.state === 'expired' ? { kind: 'gone' } : null
  } catch (error) {
    if (error instanceof ApiError && (error.status === 404 || error.status === 410)) return { kind: 'gone' }
    if (error instanceof ApiError) return null
    throw error
  }
}
