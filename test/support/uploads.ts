import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { Upload } from 'tus-js-client'
import { onceEvent } from './event-reader.ts'
import type { Landfall } from './landfall.ts'
import type { Target } from './tus.ts'

export type Sent = { uploadId: string; lastByteAt: number }

export type SourceFile = { path: string; name: string; contentType: string }

/** Uploads a file with tus-js-client, as an app in Node would; resolves after the server's last answer. */
export async function sendFile(
  target: Target,
  sub: string,
  file: SourceFile,
  options: { chunkSize?: number; uploadDataDuringCreation?: boolean } = {},
): Promise<Sent> {
  const { size } = await stat(file.path)
  return await new Promise<Sent>((resolve, reject) => {
    const upload = new Upload(createReadStream(file.path), {
      endpoint: `${target.url}/files`,
      headers: { Authorization: `Bearer ${target.token(sub)}` },
      metadata: { filename: file.name, filetype: file.contentType },
      uploadSize: size,
      retryDelays: [0, 100, 500, 1000],
      chunkSize: options.chunkSize ?? Number.POSITIVE_INFINITY,
      uploadDataDuringCreation: options.uploadDataDuringCreation ?? false,
      onError: reject,
      onSuccess: () =>
        resolve({ uploadId: upload.url?.split('/').at(-1) ?? '', lastByteAt: performance.now() }),
    })
    upload.start()
  })
}

// The fields tests look at; the whole of it is the contract in docs/api.md.
export type MediaJson = {
  id: string
  uploadId: string
  status: string
  reason: { code: string; detail: string } | null
  contentType: string
  filename: string
  kind: string
  size: number
  sha256: string
  durationSeconds: number
  width: number
  height: number
  fps: number
  videoCodec: string
  audioCodec: string
  hasAudio: boolean
  quality: string
  thumbnailUrl: string
  contentUrl: string
}

/** Uploads a file and waits for what becomes of it. */
export async function process(
  landfall: Target & Pick<Landfall, 'as'>,
  sub: string,
  file: SourceFile,
): Promise<MediaJson> {
  const { uploadId } = await sendFile(landfall, sub, file)
  return await outcome(landfall, sub, uploadId)
}

/** Waits until the file of an upload is ready, rejected or failed. */
export async function outcome(
  landfall: Target & Pick<Landfall, 'as'>,
  sub: string,
  uploadId: string,
): Promise<MediaJson> {
  const event = await onceEvent(landfall, sub, uploadId, (e) =>
    ['media.ready', 'media.rejected', 'media.failed'].includes(e.data.type),
  )
  const response = await landfall.as(sub)(`/api/v1/media/${event.data.mediaId}`)
  return (await response.json()) as MediaJson
}
