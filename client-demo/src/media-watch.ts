import type { Api } from './api.ts'
import type { Media, Reason, Step } from './contract.ts'
import { type OwnerEvents, pause } from './owner-events.ts'
import { ApiError } from './problem.ts'

/** What became of a received file. */
export type Outcome =
  | { readonly kind: 'media'; readonly media: Media }
  | { readonly kind: 'rejected'; readonly reason: Reason }
  | { readonly kind: 'gone'; readonly state: 'terminated' | 'expired' }

export interface MediaWatch {
  /** Resolves when processing has ended. `onStep` is told which step runs. Rejects only when aborted. */
  outcome(uploadId: string, onStep: (step: Step) => void, signal: AbortSignal): Promise<Outcome>
  /** Tells of media that can be streamed from now on, until the returned function is called. */
  onStreamable(listener: (mediaId: string) => void): () => void
}

/** Without an event it asks this often: the stream may be down, and events tell only when to look. */
const pollMs = 5_000

export function createMediaWatch(api: Api, events: OwnerEvents): MediaWatch {
  return {
    async outcome(uploadId, onStep, signal) {
      let look = () => {}
      const stop = events.listen((event) => {
        if (event.kind === 'connected') look()
        else if (event.uploadId !== uploadId) return
        else if (event.kind === 'step') onStep(event.step)
        else look()
      })
      try {
        for (;;) {
          // Before the look, so that nothing falls between it and the wait.
          const news = new Promise<void>((resolve) => {
            look = resolve
          })
          const outcome = await readOutcome(api, uploadId)
          signal.throwIfAborted()
          if (outcome !== null) return outcome
          await Promise.race([news, pause(pollMs, signal)])
        }
      } finally {
        stop()
      }
    },
    onStreamable(listener) {
      return events.listen((event) => {
        if (event.kind === 'state' && event.type === 'hls.finished' && event.mediaId !== null)
          listener(event.mediaId)
      })
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
    const { state } = upload
    return state === 'terminated' || state === 'expired' ? { kind: 'gone', state } : null
  } catch (error) {
    if (error instanceof ApiError && (error.status === 404 || error.status === 410))
      return { kind: 'gone', state: 'terminated' }
    if (error instanceof ApiError) return null
    throw error
  }
}
