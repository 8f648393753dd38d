/** A form that a browser sends to the bucket, as the server tells it. */
export type BucketForm = { method: string; url: string; fields: Record<string, string>; uploadId: string }

type As = (path: string, init?: RequestInit) => Promise<Response>

/** Begins an upload by a form. `query`: as Uppy has it. */
export async function beginBucketForm(as: As, query: string): Promise<BucketForm> {
  const response = await as(`/api/v1/direct-uploads/s3/params?${query}`)
  const text = await response.text()
  if (response.status !== 200) throw new Error(`${response.status}: ${text}`)
  return JSON.parse(text) as BucketForm
}

/** The body of the form, with its file last. */
export function bucketFormOf({ fields }: Pick<BucketForm, 'fields'>, bytes: Uint8Array): FormData {
  const form = new FormData()
  for (const [name, value] of Object.entries(fields)) form.set(name, value)
  form.set('file', new Blob([new Uint8Array(bytes)]))
  return form
}

/** Sends the form with this file. */
export const postBucketForm = (
  form: Pick<BucketForm, 'url' | 'fields'>,
  bytes: Uint8Array,
): Promise<Response> => fetch(form.url, { method: 'POST', body: bucketFormOf(form, bytes) })
