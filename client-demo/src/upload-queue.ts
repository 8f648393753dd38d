import { kindOf, refusalOf } from './accepted-files.ts'
import type { Api } from './api.ts'
import type { Formats, Media, Reason } from './contract.ts'
import type { MediaWatch, Outcome } from './media-watch.ts'
import { ApiError, isVerdict } from './problem.ts'
import { addressOf } from './server-address.ts'
import type { Session } from './session.ts'
import { forgetStored } from './stored-uploads.ts'
import { createTransferRate, type TransferRate } from './transfer-rate.ts'
import { isFinished, isSending, type Upload, type UploadPhase, waiting } from './upload-state.ts'
import { createUploader } from './uploader.ts'

export interface UploadQueueOptions {
  readonly session: Session
  readonly api: Api
  readonly watch: MediaWatch
  /** Null while unknown: then the server alone decides what it takes. */
  formats(): Formats | null
  /** A file's media has come into being or has changed. */
  onMedia(media: Media): void
  /** What the person uses of the quota, or which uploads are open, has changed. */
  onUsage(): void
}

export interface UploadQueue {
  subscribe(listener: () => void): () => void
  uploads(): readonly Upload[]
  add(files: readonly File[]): void
  pause(id: number): void
  resume(id: number): void
  cancel(id: number): void
  retry(id: number): void
  /** Takes a finished row off the list; `all` takes every finished one. */
  dismiss(id: number | 'all'): void
  close(): void
}

interface Entry {
  upload: Upload
  readonly file: File
  readonly rate: TransferRate
  /** Uppy's id while Uppy has the file. */
  fileId: string | null
}

/** Every file chosen on this page, from the choice until its media is ready (or it is clear that it never will be). */
export function createUploadQueue(options: UploadQueueOptions): UploadQueue {
  const { api, watch } = options
  const entries = new Map<number, Entry>()
  const listeners = new Set<() => void>()
  const closed = new AbortController()
  let snapshot: readonly Upload[] = []
  let nextId = 1

  const uploader = createUploader(options.session, addressOf('/files'), {
    onProgress(fileId, bytes, uploadId) {
      const entry = entryOf(fileId)
      if (entry === undefined || !isSending(entry.upload)) return
      const bytesPerSecond = entry.rate.measure(bytes, performance.now())
      const left = entry.upload.size - bytes
      const etaSeconds = bytesPerSecond === null || bytesPerSecond === 0 ? null : left / bytesPerSecond
      const phase: UploadPhase = {
        state: 'open',
        bytes,
        bytesPerSecond,
        etaSeconds,
        activity: 'sending',
      }
      const isNew = uploadId !== null && uploadId !== entry.upload.uploadId
      update(entry, { phase, uploadId: uploadId ?? entry.upload.uploadId })
      if (isNew) options.onUsage()
    },
    onRetry(fileId) {
      const entry = entryOf(fileId)
      if (entry?.upload.phase.state !== 'open' || !isSending(entry.upload)) return
      entry.rate.reset()
      const phase = {
        ...entry.upload.phase,
        bytesPerSecond: null,
        etaSeconds: null,
        activity: 'retrying' as const,
      }
      update(entry, { phase })
    },
    onReceived(fileId, uploadId, mediaId) {
      const entry = entryOf(fileId)
      if (entry === undefined) return
      entry.fileId = null
      update(entry, { uploadId, phase: { state: 'processing', step: null } })
      options.onUsage()
      if (mediaId !== null) announce(mediaId)
      void followProcessing(entry, uploadId)
    },
    onError(fileId, reason) {
      const entry = entryOf(fileId)
      if (entry === undefined) return
      entry.fileId = null
      update(entry, { phase: phaseOf(reason) })
      options.onUsage()
    },
  })

  function entryOf(fileId: string): Entry | undefined {
    return [...entries.values()].find((entry) => entry.fileId === fileId)
  }

  function update(entry: Entry, change: Partial<Pick<Upload, 'phase' | 'uploadId'>>): void {
    entry.upload = { ...entry.upload, ...change }
    publish()
  }

  /** Newest first, as one frozen picture for React. */
  function publish(): void {
    snapshot = [...entries.values()].map((entry) => entry.upload).reverse()
    for (const listener of listeners) listener()
  }

  function start(entry: Entry): void {
    const refusal = refusalOf(entry.file, options.formats())
    if (refusal !== null) {
      update(entry, { phase: { state: 'rejected', reason: refusal } })
      return
    }
    entry.rate.reset()
    try {
      entry.fileId = uploader.add(entry.file)
      update(entry, { phase: waiting })
    } catch {
      // The only thing Uppy refuses here is a file it already has.
      const reason: Reason = { code: 'already-uploading', detail: 'This file is already being uploaded.' }
      update(entry, { phase: { state: 'rejected', reason } })
    }
  }

  async function followProcessing(entry: Entry, uploadId: string): Promise<void> {
    try {
      const outcome = await watch.outcome(
        uploadId,
        (step) => update(entry, { phase: { state: 'processing', step } }),
        closed.signal,
      )
      if (outcome.kind === 'media') options.onMedia(outcome.media)
      update(entry, { phase: phaseAfter(outcome) })
      options.onUsage()
    } catch (error) {
      if (!closed.signal.aborted) throw error
    }
  }

  /** Shows the media while it is still being processed. Only a nicety: the outcome is announced anyway. */
  function announce(mediaId: string): void {
    api.media(mediaId).then(options.onMedia, (error: unknown) => {
      if (!(error instanceof ApiError)) throw error
    })
  }

  /** Uppy terminates what it is sending, but not what waits for a retry or has failed: make sure. */
  async function terminate(uploadId: string): Promise<void> {
    forgetStored(uploadId)
    try {
      const { state } = await api.upload(uploadId)
      if (state === 'open') await api.terminate(uploadId)
    } catch (error) {
      // It stays on the server's list of open uploads, where it can be cancelled again; and it expires.
      if (!(error instanceof ApiError)) throw error
    }
    options.onUsage()
  }

  return {
    subscribe(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    uploads: () => snapshot,
    add(files) {
      for (const file of files) {
        const id = nextId++
        const kind = kindOf(file, options.formats())
        const upload: Upload = { id, name: file.name, size: file.size, kind, uploadId: null, phase: waiting }
        const entry: Entry = { upload, file, rate: createTransferRate(), fileId: null }
        entries.set(id, entry)
        start(entry)
      }
    },
    pause(id) {
      const entry = entries.get(id)
      if (entry?.fileId == null || entry.upload.phase.state !== 'open' || !isSending(entry.upload)) return
      update(entry, { phase: { ...waiting, bytes: entry.upload.phase.bytes, activity: 'paused' } })
      uploader.togglePause(entry.fileId)
    },
    resume(id) {
      const entry = entries.get(id)
      if (entry?.fileId == null || entry.upload.phase.state !== 'open') return
      if (entry.upload.phase.activity !== 'paused') return
      entry.rate.reset()
      update(entry, { phase: { ...waiting, bytes: entry.upload.phase.bytes } })
      uploader.togglePause(entry.fileId)
    },
    cancel(id) {
      const entry = entries.get(id)
      if (entry === undefined) return
      const { fileId } = entry
      const { uploadId } = entry.upload
      entry.fileId = null
      update(entry, { phase: { state: 'terminated' } })
      if (fileId !== null) uploader.remove(fileId)
      if (uploadId !== null) setTimeout(() => void terminate(uploadId), 400)
    },
    retry(id) {
      const entry = entries.get(id)
      if (entry?.upload.phase.state === 'stopped') start(entry)
    },
    dismiss(id) {
      for (const [key, entry] of entries) {
        if ((id === 'all' || id === key) && isFinished(entry.upload)) entries.delete(key)
      }
      publish()
    },
    close() {
      closed.abort()
      // Not uppy.destroy(): that cancels, and so terminates on the server what could be resumed later.
      uploader.pauseAll()
    },
  }
}

function phaseOf(reason: Reason): UploadPhase {
  return { state: isVerdict(reason.code) ? 'rejected' : 'stopped', reason }
}

function phaseAfter(outcome: Outcome): UploadPhase {
  if (outcome.kind === 'gone') return { state: outcome.state }
  if (outcome.kind === 'rejected') return { state: 'rejected', reason: outcome.reason }
  const { media } = outcome
  const reason = media.reason ?? { code: media.status, detail: '' }
  if (media.status === 'rejected') return { state: 'rejected', reason }
  if (media.status === 'failed') return { state: 'failed', reason }
  return media.status === 'deleted' ? { state: 'deleted' } : { state: 'ready', mediaId: media.id }
}
