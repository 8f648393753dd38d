import { type BucketForm, bucketFormOf } from '../support/bucket-forms.ts'
import { slowly } from '../support/pauses.ts'
import type { ServerProcess } from '../support/server-process.ts'
import type { PlannedUpload } from './plan.ts'

export type WayOptions = {
  server: ServerProcess
  /** Resolves when the server is there, at once or after its restart. */
  available: () => Promise<void>
  /** Told of every request that has to be repeated. */
  onFailure: () => void
}

/** Sends a file until it is received, once; gives the id of its upload. */
type Way = (upload: PlannedUpload, options: WayOptions) => Promise<string>

const RETRY_MS = 50
const DIRECT = '/api/v1/direct-uploads'

type Ask = (path: string, init?: RequestInit) => Promise<Response>

/** Asks until there is an answer that a client does not try again after. */
function stubborn(
  { owner, name }: PlannedUpload,
  { server, available, onFailure }: WayOptions,
): { once: Ask; ask: Ask } {
  async function once(path: string, init?: RequestInit): Promise<Response> {
    await available()
    const response = await server.as(owner)(path, init)
    // Read here: the server may be killed in the middle of its answer.
    const text = await response.text()
    return new Response(response.status === 204 ? null : text, response)
  }
  async function ask(path: string, init?: RequestInit): Promise<Response> {
    for (;;) {
      const response = await once(path, init).catch(() => undefined)
      if (response?.ok) return response
      const isPassing = response === undefined || [423, 429, 503].includes(response.status)
      if (!isPassing) throw new Error(`${name}: ${path} ${response.status} ${await response.text()}`)
      onFailure()
      await slowly(RETRY_MS)
    }
  }
  return { once, ask }
}

const asJson = (body: unknown): RequestInit => ({
  method: 'POST',
  headers: { 'Content-Type': 'application/json' },
  body: JSON.stringify(body),
})

/** A form whose answer is lost is looked for before it is sent again. */
async function byForm(upload: PlannedUpload, options: WayOptions): Promise<string> {
  const { once, ask } = stubborn(upload, options)
  for (;;) {
    const form = new FormData()
    form.set('file', new Blob([new Uint8Array(upload.bytes)], { type: upload.contentType }), upload.name)
    const response = await once('/api/v1/media', { method: 'POST', body: form }).catch(() => undefined)
    if (response?.status === 201) return ((await response.json()) as { uploadId: string }).uploadId
    if (response && ![423, 503].includes(response.status))
      throw new Error(`${upload.name}: ${response.status} ${await response.text()}`)
    options.onFailure()
    await slowly(RETRY_MS)
    const listed = await ask(`/api/v1/media?limit=100&name=${encodeURIComponent(upload.name)}`)
    const { items } = (await listed.json()) as { items: { uploadId: string; filename: string }[] }
    const found = items.find(({ filename }) => filename === upload.name)
    if (found) return found.uploadId
  }
}

async function toBucket(options: WayOptions, url: string, init: RequestInit): Promise<void> {
  for (;;) {
    const response = await fetch(url, init).catch(() => undefined)
    await response?.body?.cancel()
    if (response?.ok) return
    if (response && response.status < 500) throw new Error(`the bucket answered ${response.status}`)
    options.onFailure()
    await slowly(RETRY_MS)
  }
}

async function byParts(upload: PlannedUpload, options: WayOptions): Promise<string> {
  const { ask } = stubborn(upload, options)
  const { bytes, name: filename, contentType } = upload
  const begun = await ask(DIRECT, asJson({ size: bytes.length, filename, contentType }))
  const { id, partSize, partCount } = (await begun.json()) as {
    id: string
    partSize: number
    partCount: number
  }
  for (let number = 1; number <= partCount; number++) {
    const signed = await ask(`${DIRECT}/${id}/parts`, asJson({ partNumbers: [number] }))
    const { parts } = (await signed.json()) as { parts: { url: string }[] }
    const body = Buffer.from(bytes.subarray((number - 1) * partSize, number * partSize))
    await toBucket(options, parts[0]?.url ?? '', { method: 'PUT', body })
  }
  await ask(`${DIRECT}/${id}/complete`, { method: 'POST' })
  return id
}

/** Nobody tells the server when it is there. */
async function byBucketForm(upload: PlannedUpload, options: WayOptions): Promise<string> {
  const { ask } = stubborn(upload, options)
  const { bytes, name: filename, contentType: type } = upload
  const begun = await ask(`${DIRECT}/s3/params?${new URLSearchParams({ filename, type })}`)
  const form = (await begun.json()) as BucketForm
  const { url, uploadId } = form
  await toBucket(options, url, { method: 'POST', body: bucketFormOf(form, bytes) })
  for (;;) {
    const answer = await ask(`/api/v1/uploads/${uploadId}`)
    const { state } = (await answer.json()) as { state: string }
    if (state !== 'open') return uploadId
    await slowly(200)
  }
}

/** The ways in that a server with a bucket has, beside that of resumable uploads. */
export const WAYS: Readonly<Record<string, Way>> = {
  form: byForm,
  parts: byParts,
  'form to the bucket': byBucketForm,
}
