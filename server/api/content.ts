import { createHash } from 'node:crypto'
import { text } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import type { Request, Response } from 'express'
import { servedAs } from '../../content/served-as.ts'
import type { RenditionRow } from '../../ledger/media.ts'
import type { Storage } from '../../storage/storage.ts'
import { type ByteRange, ObjectMissing, StorageUnavailable } from '../../storage/store/objects.ts'
import type { StoredRow } from '../../storage/store/upload-bytes.ts'
import type { OpenDownloads } from '../admission/open-downloads.ts'
import { endTurn } from '../admission/owner-turns.ts'
import { Problem } from '../http/errors.ts'

export type ServedObject = StoredRow & {
  /** Whose share of the downloads it is sent in. */
  ownerId: string
  key: string
  size: number
  /** As identified by us, never as declared by a client. */
  contentType: string | null
  /** Strong validator, without quotes. */
  tag: string
  /** Of the object in the storage, where it is known: another one is not served. */
  etag: string | null
}

const HEADERS = {
  'Cache-Control': 'private, max-age=3600',
  'Content-Security-Policy': "default-src 'none'; sandbox",
  'Cross-Origin-Resource-Policy': 'cross-origin',
  'X-Content-Type-Options': 'nosniff',
}

/** A rendition of a media item as it is sent. */
export function servedRendition(
  { storage_backend, owner_id }: StoredRow & { owner_id: string },
  { media_id, kind, storage_key, size, content_type }: RenditionRow,
): ServedObject {
  return {
    storage_backend,
    ownerId: owner_id,
    key: storage_key,
    size,
    contentType: content_type,
    tag: `${media_id}-${kind}-${size}`,
    etag: null,
  }
}

export type ContentOptions = {
  storage: Pick<Storage, 'objectsOf'>
  openDownloads: OpenDownloads
}

/**
 * Sends an object or the range of it that was asked for (RFC 9110 § 14), never to be run as a page. Fails with
 * `rate-limited` where too many of its owner's are being sent.
 */
export async function sendObject(
  { storage, openDownloads }: ContentOptions,
  request: Request,
  response: Response,
  object: ServedObject,
): Promise<void> {
  const etag = `"${object.tag}"`
  const { contentType, disposition } = servedAs(object.contentType)
  const headers = {
    ...HEADERS,
    'Accept-Ranges': 'bytes',
    'Content-Disposition': disposition,
    'Content-Type': contentType,
    ETag: etag,
  }
  if (isCached(request.get('If-None-Match'), etag)) return void response.set(headers).status(304).end()

  const range = requestedRange(request, object.size, etag)
  // Before anything is said of the content: what goes wrong here is answered with something else.
  endTurn(response)
  if (request.method !== 'HEAD') openDownloads.enter(object.ownerId, response)
  const source = request.method === 'HEAD' ? undefined : await open(storage, object, range)
  response.set(headers)
  if (range) response.status(206).set('Content-Range', `bytes ${range.start}-${range.end}/${object.size}`)
  response.set('Content-Length', String(range ? range.end - range.start + 1 : object.size))
  if (!source) return void response.end()
  try {
    await pipeline(source, response)
  } catch (error) {
    // Left before there was anything to pipe into, the pipeline has not touched the source.
    source.destroy()
    // The client left; a read error shows as a body that is cut short, for the head has gone out.
    if (!response.destroyed) response.destroy()
    if (!isClientGone(error)) throw error
  }
}

/**
 * Sends the client to the storage for an object (307, RFC 9110 § 15.4.8), by an address that works for some
 * minutes. Returns false where the object has to come from here.
 */
export async function redirectToObject(
  storage: Pick<Storage, 'objectsOf'>,
  request: Request,
  response: Response,
  object: ServedObject,
): Promise<boolean> {
  const method = request.method === 'HEAD' ? 'HEAD' : 'GET'
  const address = await (await storage.objectsOf(object)).link(
    object.key,
    servedAs(object.contentType),
    method,
  )
  if (address === undefined) return false
  response
    .status(307)
    .set({
      // Neither kept nor passed on: anybody with the address can read the object.
      'Cache-Control': 'no-store',
      'Cross-Origin-Resource-Policy': 'cross-origin',
      Location: address,
      'Referrer-Policy': 'no-referrer',
      'X-Content-Type-Options': 'nosniff',
    })
    .end()
  return true
}

/** Sends a small text that this server has written, never to be run as a page. */
export function sendText(
  request: Request,
  response: Response,
  { text, contentType }: { text: string; contentType: string },
): void {
  const etag = `"${createHash('sha256').update(text).digest('base64url')}"`
  response.set({ ...HEADERS, 'Content-Type': contentType, ETag: etag })
  if (isCached(request.get('If-None-Match'), etag)) return void response.status(304).end()
  const bytes = Buffer.from(text)
  response.set('Content-Length', String(bytes.length))
  response.end(request.method === 'HEAD' ? undefined : bytes)
}

/** A small object of ours as text, for an answer that needs it. Fails with `unavailable`. */
export async function readText(
  { storage, openDownloads }: ContentOptions,
  response: Response,
  object: ServedObject,
): Promise<string> {
  // The storage may take its time.
  endTurn(response)
  openDownloads.enter(object.ownerId, response)
  return await text(await open(storage, object, undefined))
}

async function open(storage: Pick<Storage, 'objectsOf'>, object: ServedObject, range: ByteRange | undefined) {
  try {
    const objects = await storage.objectsOf(object)
    return await objects.read(object.key, { etag: object.etag, ...(range ? { range } : {}) })
  } catch (error) {
    if (!(error instanceof ObjectMissing) && !(error instanceof StorageUnavailable)) throw error
    // The row says ready and the bytes cannot be had: ours to look into, for the client it is an outage.
    throw new Problem('unavailable', 'The content is temporarily unavailable.', {
      headers: { 'Retry-After': '5' },
      cause: error,
    })
  }
}

/** The one range asked for; undefined for the whole: no range, several, or an outdated `If-Range`. */
function requestedRange(
  request: Request,
  size: number,
  etag: string,
): { start: number; end: number } | undefined {
  const ifRange = request.get('If-Range')
  if (ifRange !== undefined && ifRange !== etag) return undefined
  const ranges = request.range(size, { combine: true })
  if (ranges === -1) {
    throw new Problem('range-not-satisfiable', 'The range lies outside the content.', {
      headers: { 'Content-Range': `bytes */${size}` },
    })
  }
  // Malformed (-2) is ignored, as is any unit but bytes.
  if (ranges === undefined || ranges === -2 || ranges.type !== 'bytes' || ranges.length !== 1)
    return undefined
  return ranges[0]
}

/** RFC 9110 § 13.1.2; a weak tag of a cache in between counts as well. */
function isCached(ifNoneMatch: string | undefined, etag: string): boolean {
  const tags = ifNoneMatch?.split(',').map((tag) => tag.trim().replace(/^W\//, '')) ?? []
  return tags.includes('*') || tags.includes(etag)
}

function isClientGone(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return code === 'ERR_STREAM_PREMATURE_CLOSE' || code === 'ERR_STREAM_UNABLE_TO_PIPE'
}
