import { type HttpRequest, Upload, type UploadOptions } from 'tus-js-client'
import type { Target } from './tus.ts'

// In the package, though not in its types.
declare module 'tus-js-client' {
  interface UploadOptions {
    protocol?: 'tus-v1' | 'ietf-draft-03' | 'ietf-draft-05'
  }
  class FileUrlStorage implements UrlStorage {
    constructor(path: string)
    findAllUploads(): Promise<PreviousUpload[]>
    findUploadsByFingerprint(fingerprint: string): Promise<PreviousUpload[]>
    removeUpload(urlStorageKey: string): Promise<void>
    addUpload(fingerprint: string, upload: PreviousUpload): Promise<string>
  }
}

/** Whatever the client can read in Node. */
export type Source = Buffer | NodeJS.ReadableStream

export type TusJsUpload = {
  upload: Upload
  /** Each request that was answered, in the order of the answers: `PATCH at 5 → 204`. */
  requests: string[]
  /** Where each request with bytes of the file began, answered or not. */
  offsets: number[]
  /** The id of the upload, as soon as the client reports success; fails with what it reports instead. */
  finished: Promise<string>
  /** The id of the upload, as soon as the client knows where it is. */
  created: Promise<string>
}

/** An upload by tus-js-client that the caller starts; `options` are the client's own. */
export function tusJsUpload(
  target: Target,
  sub: string,
  source: Source,
  options: UploadOptions = {},
): TusJsUpload {
  const requests: string[] = []
  const offsets: number[] = []
  const finished = Promise.withResolvers<string>()
  const created = Promise.withResolvers<string>()
  // Who interrupts an upload does not wait for its end.
  finished.promise.catch(() => {})
  const upload: Upload = new Upload(source as Buffer, {
    endpoint: `${target.url}/files`,
    headers: { Authorization: `Bearer ${target.token(sub)}` },
    metadata: { filename: 'clip.mp4', filetype: 'video/mp4' },
    onBeforeRequest(request) {
      const offset = offsetOf(request)
      if (offset !== undefined) offsets.push(offset)
    },
    onAfterResponse(request, response) {
      const offset = offsetOf(request)
      const at = offset === undefined ? '' : ` at ${offset}`
      requests.push(`${request.getMethod()}${at} → ${response.getStatus()}`)
    },
    onUploadUrlAvailable: () => created.resolve(idOf(upload.url)),
    onSuccess: () => finished.resolve(idOf(upload.url)),
    onError: finished.reject,
    ...options,
  })
  return { upload, requests, offsets, finished: finished.promise, created: created.promise }
}

/** Starts it and waits for its success: the id of the upload. */
export async function finish({ upload, finished }: TusJsUpload): Promise<string> {
  upload.start()
  return await finished
}

function offsetOf(request: HttpRequest): number | undefined {
  const offset = request.getHeader('Upload-Offset')
  return offset === undefined ? undefined : Number(offset)
}

function idOf(url: string | null): string {
  return url?.split('/').at(-1) ?? ''
}
