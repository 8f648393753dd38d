import { useEffect, useLayoutEffect, useRef, useState, useSyncExternalStore } from 'react'
import type { Api } from './api.ts'
import type { Formats, Media } from './contract.ts'
import type { MediaWatch } from './media-watch.ts'
import type { Session } from './session.ts'
import { createUploadQueue, type UploadQueue } from './upload-queue.ts'
import { isSending, type Upload } from './upload-state.ts'

export interface UseUploadOptions {
  readonly session: Session
  readonly api: Api
  readonly watch: MediaWatch
  readonly formats: Formats | null
  readonly onMedia: (media: Media) => void
  readonly onUsage: () => void
}

export type UseUpload = Omit<UploadQueue, 'subscribe' | 'uploads' | 'close'> & {
  /** Newest first. */
  readonly uploads: readonly Upload[]
}

const none: readonly Upload[] = []

/**
 * Resumable uploads as React state.
 *
 * @example
 * const { uploads, add, cancel } = useUpload({ session, api, watch, formats, onMedia, onUsage })
 * <input type="file" multiple onChange={(e) => add([...(e.target.files ?? [])])} />
 * {uploads.map((u) => <p key={u.id}>{u.name}: {u.phase.state} <button onClick={() => cancel(u.id)}>Cancel</button></p>)}
 */
export function useUpload(options: UseUploadOptions): UseUpload {
  const { session, api, watch } = options
  const [queue, setQueue] = useState<UploadQueue | null>(null)
  // The queue outlives renders and must call what the latest one was given.
  const latest = useRef(options)
  useEffect(() => {
    latest.current = options
  })

  // Before the first paint: a file chosen as soon as there is something to see must find a queue.
  useLayoutEffect(() => {
    const created = createUploadQueue({
      session,
      api,
      watch,
      formats: () => latest.current.formats,
      onMedia: (media) => latest.current.onMedia(media),
      onUsage: () => latest.current.onUsage(),
    })
    setQueue(created)
    return () => created.close()
  }, [session, api, watch])

  const uploads = useSyncExternalStore(queue?.subscribe ?? subscribeToNothing, queue?.uploads ?? nothing)
  useLeaveWarning(uploads.some(isSending))

  return {
    uploads,
    add: (files) => queue?.add(files),
    pause: (id) => queue?.pause(id),
    resume: (id) => queue?.resume(id),
    cancel: (id) => queue?.cancel(id),
    retry: (id) => queue?.retry(id),
    dismiss: (id) => queue?.dismiss(id),
  }
}

/** The browser asks before the page is left while bytes are going out. */
function useLeaveWarning(active: boolean): void {
  useEffect(() => {
    if (!active) return
    const warn = (event: BeforeUnloadEvent) => event.preventDefault()
    window.addEventListener('beforeunload', warn)
    return () => window.removeEventListener('beforeunload', warn)
  }, [active])
}

const subscribeToNothing = () => () => {}
const nothing = () => none
