import { parseUploadId, type UploadId } from '../../ledger/ids.ts'
import type { Landfall } from './landfall.ts'

/** Requests of tus 1.0 as a client sends them, one function each; answers are given back as they came. */

const OFFSET_STREAM = 'application/offset+octet-stream'

export type Target = Pick<Landfall, 'url' | 'token'>

export function metadataHeader(metadata: Record<string, string>): string {
  return Object.entries(metadata)
    .map(([key, value]) => `${key} ${Buffer.from(value).toString('base64')}`)
    .join(',')
}

function tusHeaders(target: Target, sub: string, more: Record<string, string> = {}): Record<string, string> {
  return { Authorization: `Bearer ${target.token(sub)}`, 'Tus-Resumable': '1.0.0', ...more }
}

export async function create(
  target: Target,
  sub: string,
  upload: {
    size: number
    metadata?: Record<string, string>
    headers?: Record<string, string>
    body?: Uint8Array
  },
): Promise<Response> {
  const { size, metadata = {}, headers = {}, body } = upload
  return await fetch(`${target.url}/files`, {
    method: 'POST',
    headers: tusHeaders(target, sub, {
      'Upload-Length': String(size),
      ...(Object.keys(metadata).length > 0 ? { 'Upload-Metadata': metadataHeader(metadata) } : {}),
      ...(body ? { 'Content-Type': OFFSET_STREAM } : {}),
      ...headers,
    }),
    body: body as BodyInit | undefined,
  })
}

/** Creates an upload that must succeed; gives its id. */
export async function createId(...args: Parameters<typeof create>): Promise<UploadId> {
  const response = await create(...args)
  if (response.status !== 201)
    throw new Error(`creation answered ${response.status}: ${await response.text()}`)
  return idOf(response)
}

/** The id in the Location of a creation. */
export function idOf(response: Response): UploadId {
  const location = response.headers.get('Location') ?? ''
  const id = parseUploadId(location.split('/').at(-1) ?? '')
  if (!id) throw new Error(`no upload has the address ${location}`)
  return id
}

export async function patch(
  target: Target,
  sub: string,
  id: string,
  append: {
    offset: number
    body: Uint8Array | ReadableStream<Uint8Array>
    headers?: Record<string, string>
    signal?: AbortSignal
  },
): Promise<Response> {
  return await fetch(`${target.url}/files/${id}`, {
    method: 'PATCH',
    headers: tusHeaders(target, sub, {
      'Upload-Offset': String(append.offset),
      'Content-Type': OFFSET_STREAM,
      ...append.headers,
    }),
    body: append.body as BodyInit,
    signal: append.signal,
    duplex: 'half',
  } as RequestInit)
}

export async function head(target: Target, sub: string, id: string): Promise<Response> {
  return await fetch(`${target.url}/files/${id}`, { method: 'HEAD', headers: tusHeaders(target, sub) })
}

export async function terminate(target: Target, sub: string, id: string): Promise<Response> {
  return await fetch(`${target.url}/files/${id}`, { method: 'DELETE', headers: tusHeaders(target, sub) })
}
