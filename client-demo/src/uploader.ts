import { Uppy } from '@uppy/core'
import Tus, { type TusBody, type TusDetailedError, type TusOptions } from '@uppy/tus'
import type { Reason } from './contract.ts'
import { parseProblem } from './problem.ts'
import type { Session } from './session.ts'
import { forgetStored, uploadIdOf } from './stored-uploads.ts'

type FileOptions = TusOptions<Record<string, unknown>, TusBody>

/** `limit` stays below the five open uploads that the server allows a person at once. */
const parallelFiles = 3
const retryDelaysMs = [500, 1_000, 2_000, 4_000, 8_000, 15_000, 30_000]

export interface UploaderHandlers {
  onProgress(fileId: string, bytes: number, uploadId: string | null): void
  /** A request failed and will be sent again. */
  onRetry(fileId: string): void
  /** The last byte is acknowledged. */
  onReceived(fileId: string, uploadId: string, mediaId: string | null): void
  onError(fileId: string, reason: Reason): void
}

/** Uppy without its own interface: the queue, the pauses and the tus protocol. */
export interface Uploader {
  /** Returns the id Uppy made of name, type, size and time of change; throws where this file is already under way. */
  add(file: File): string
  togglePause(fileId: string): void
  /** Drops the file; an upload under way is terminated on the server. */
  remove(fileId: string): void
  pauseAll(): void
}

/** `endpoint`: absolute, as tus-js-client resolves `Location` against it, and `new URL(x, '/files')` throws. */
export function createUploader(session: Session, endpoint: string, handlers: UploaderHandlers): Uploader {
  /** Files the server rejected in an answer without a body. */
  const verdicts = new Map<string, Reason>()
  const uppy = new Uppy<Record<string, unknown>, TusBody>({ id: 'landfall', autoProceed: true })

  uppy.use(Tus<Record<string, unknown>, TusBody>, {
    endpoint,
    limit: parallelFiles,
    retryDelays: retryDelaysMs,
    removeFingerprintOnSuccess: true,
    allowedMetaFields: ['name', 'type'],
    async onBeforeRequest(request) {
      request.setHeader('Authorization', `Bearer ${await session.token()}`)
    },
  })

  uppy.on('upload-progress', (file, progress) => {
    if (file === undefined) return
    const current = uppy.getFile(file.id)
    const url = current !== undefined && 'tus' in current ? current.tus?.uploadUrl : null
    handlers.onProgress(file.id, progress.bytesUploaded || 0, uploadIdOf(url))
  })

  uppy.on('upload-success', (file, response) => {
    const uploadId = uploadIdOf(response.uploadURL)
    if (file === undefined || uploadId === null) return
    handlers.onReceived(file.id, uploadId, response.body?.xhr.getResponseHeader('Upload-Media-Id') ?? null)
    forgetLater(file.id)
  })

  uppy.on('upload-error', (file, error, response) => {
    if (file === undefined) return
    handlers.onError(file.id, verdicts.get(file.id) ?? reasonOf(response?.body?.xhr, error.message))
    verdicts.delete(file.id)
    forgetLater(file.id)
  })

  /**
   * A finished file must leave Uppy: it would refuse the same file again as a duplicate, and hold new files back until
   * failed ones were retried. Later, because inside the event the file is still wired to "removed means terminate".
   */
  function forgetLater(fileId: string): void {
    setTimeout(() => uppy.removeFile(fileId))
  }

  /** Set for each file: what is set for the plugin is not told which file it is about. */
  function optionsFor(fileId: string): FileOptions {
    return {
      // After any HEAD that is not 2xx or 423 tus-js-client forgets the upload and starts from zero. Throwing here
      // makes it a failed request instead, which is sent again, or is the end where there is a verdict.
      onAfterResponse(request, response) {
        if (request.getMethod() !== 'HEAD') return
        const status = response.getStatus()
        const rejection = response.getHeader('Upload-Reject-Reason')
        if (status === 410 && rejection) {
          verdicts.set(fileId, {
            code: rejection,
            detail: 'The server has checked this file and rejected it.',
          })
          forgetStored(uploadIdOf(request.getURL()) ?? '')
          throw new Error(`The upload was rejected: ${rejection}`)
        }
        if (status === 401) session.refuse(tokenOf(request))
        if (status === 401 || status === 429 || status >= 500)
          throw new Error(`HEAD was answered with ${status}`)
      },
      onShouldRetry(error, attempt, _options, retryByDefault) {
        const again = !verdicts.has(fileId) && shouldRetry(error, attempt, retryByDefault)
        if (again) handlers.onRetry(fileId)
        return again
      },
    }
  }

  function shouldRetry(
    error: TusDetailedError,
    attempt: number,
    retryByDefault: (error: TusDetailedError) => boolean,
  ): boolean {
    const response = error.originalResponse
    const status = response?.getStatus() ?? 0
    if (status === 401) {
      session.refuse(tokenOf(error.originalRequest))
      return attempt < 2
    }
    // Uppy's own answer to 429 stops every file, and only four times in a page's life.
    if (status === 429) {
      return parseProblem(response?.getBody() ?? '', status).code !== 'quota-uploads-exceeded'
    }
    return retryByDefault(error)
  }

  return {
    add(file) {
      const fileId = uppy.addFile({ name: file.name, type: file.type, data: file })
      uppy.setFileState(fileId, { tus: optionsFor(fileId) })
      return fileId
    },
    togglePause: (fileId) => uppy.pauseResume(fileId),
    remove: (fileId) => uppy.removeFile(fileId),
    pauseAll: () => uppy.pauseAll(),
  }
}

function reasonOf(xhr: XMLHttpRequest | undefined, message: string): Reason {
  return xhr !== undefined && xhr.status > 0
    ? parseProblem(xhr.responseText, xhr.status)
    : { code: 'network', detail: message }
}

function tokenOf(request: { getHeader(name: string): string | undefined }): string {
  return request.getHeader('Authorization')?.replace(/^Bearer /, '') ?? ''
}
