import { createHash } from 'node:crypto'
import { text } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import type { Request, Response } from 'express'
import { type ServedAs, servedAs } from '../../content/served-as.ts'
import type { RenditionRow } from '../../ledger/media.ts'
import type { Storage } from '../../storage/storage.ts'
import { type ByteRange, ObjectMissing, StorageUnavailable } from '../../storage/store/objects.ts'
import type { StoredRow } from '../../storage/store/upload-bytes.ts'
import type { OpenDownloads } from '../admission/open-downloads.ts'
import { endTurn } from '../admission/owner-turns.ts'
import type { ShownLink } from '../auth/content-links.ts'
import { Problem } from '../http/errors.ts'
import { listElements } from '../http/list-header.ts'
import { downloadName } from './download-name.ts'

export type ServedObject = StoredRow & {
  /** The owner in whose share of downloads it is sent. */
  ownerId: string
  key: string
  size: number
  /** As identified by us, never as declared by a client. */
  contentType: string | null
  /** Under which it is saved; null for the browser to choose. */
  filename: string | null
  /** Strong validator, without quotes. */
  tag: string
  /** Of the object in the storage, where known: another version is not served. */
  etag: string | null
}

/** A request for bytes, and the link that it shows. */
export type BytesRequest = { request: Request; response: Response; link: ShownLink | undefined }

const HEADERS = {
  'Content-Security-Policy': "default-src 'none'; sandbox",
  'Cross-Origin-Resource-Policy': 'cross-origin',
  'X-Content-Type-Options': 'nosniff',
}

const MAX_AGE_SECONDS = 3600

/** For so long caches may have a public media item that is private again, or deleted. */
const PUBLIC_SECONDS = 300

/**
 * No cache that others share may keep what is not public. That of a browser keeps it no longer than its link is valid, and asks each
 * time where the link can be revoked.
 */
function cacheControl(link: ShownLink | undefined): string {
  if (link?.isPublic) return `public, max-age=${PUBLIC_SECONDS}`
  if (link?.id !== undefined) return 'private, no-cache'
  return `private, max-age=${link ? Math.min(MAX_AGE_SECONDS, secondsLeft(link)) : MAX_AGE_SECONDS}`
}

/** Whole seconds until a link expires. */
const secondsLeft = ({ expires }: ShownLink): number => Math.max(0, Math.floor(expires - Date.now() / 1000))

/** How an object is served to who asks, by a link that may say more. Fails with `invalid-request` for a bad name. */
function presented({ contentType, filename }: ServedObject, link: ShownLink | undefined): ServedAs {
  const name = link?.filename === undefined ? filename : downloadName(link.filename, contentType)
  return servedAs(contentType, name, link?.disposition)
}

/** A rendition of a media item, for `sendObject`. */
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
    filename: null,
    tag: `${media_id}-${kind}-${size}`,
    etag: null,
  }
}

export type ContentOptions = {
  storage: Pick<Storage, 'objectsOf'>
  openDownloads: OpenDownloads
}

/**
 * Sends an object, or the requested range of it (RFC 9110 § 14), with headers that keep it from being run as a page.
 * Fails with `rate-limited` where too many downloads of its owner are running.
 */
export async function sendObject(
  { storage, openDownloads }: ContentOptions,
  { request, response, link }: BytesRequest,
  object: ServedObject,
): Promise<void> {
  const etag = `"${object.tag}"`
  const { contentType, disposition } = presented(object, link)
  const headers = {
    ...HEADERS,
    'Accept-Ranges': 'bytes',
    'Cache-Control': cacheControl(link),
    'Content-Disposition': disposition,
    'Content-Type': contentType,
    ETag: etag,
  }
  if (isCached(request.get('If-None-Match'), etag)) return void response.set(headers).status(304).end()

  const range = requestedRange(request, object.size, etag)
  // Before the headers of the content are set: a failure here has another response.
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
    // The client left before the pipeline began.
    source.destroy()
    // The client left; a read error cuts the body short, as the headers were sent.
    if (!response.destroyed) response.destroy()
    if (!isClientGone(error)) throw error
  }
}

/**
 * Redirects the client to the storage (307, RFC 9110 § 15.4.8), to a link that is valid for some minutes, and no longer
 * than the one by which it asks. Returns false where the server has to send the object.
 */
export async function redirectToObject(
  storage: Pick<Storage, 'objectsOf'>,
  { request, response, link }: BytesRequest,
  object: ServedObject,
): Promise<boolean> {
  const seconds = link && secondsLeft(link)
  // The storage has no links for less than a second.
  if (seconds === 0) return false
  const objects = await storage.objectsOf(object)
  const address = await objects.link(object.key, presented(object, link), {
    method: request.method === 'HEAD' ? 'HEAD' : 'GET',
    ...(seconds === undefined ? {} : { seconds }),
  })
  if (address === undefined) return false
  response
    .status(307)
    .set({
      // Neither cached nor shared: the link gives access to anybody.
      'Cache-Control': 'no-store',
      'Cross-Origin-Resource-Policy': 'cross-origin',
      Location: address,
      'Referrer-Policy': 'no-referrer',
      'X-Content-Type-Options': 'nosniff',
    })
    .end()
  return true
}

/** Sends a small text of this server, with headers that keep it from being run as a page. */
export function sendText(
  { request, response, link }: BytesRequest,
  { text, contentType }: { text: string; contentType: string },
): void {
  const etag = `"${createHash('sha256').update(text).digest('base64url')}"`
  response.set({ ...HEADERS, 'Cache-Control': cacheControl(link), 'Content-Type': contentType, ETag: etag })
  if (isCached(request.get('If-None-Match'), etag)) return void response.status(304).end()
  const bytes = Buffer.from(text)
  response.set('Content-Length', String(bytes.length))
  response.end(request.method === 'HEAD' ? undefined : bytes)
}

/** A small object as text. Fails with `unavailable`. */
export async function readText(
  { storage, openDownloads }: ContentOptions,
  response: Response,
  object: ServedObject,
): Promise<string> {
  // The storage may be slow.
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
    // The row is ready but its bytes are missing: for the client an outage, for operators a fault.
    throw new Problem('unavailable', 'The content is temporarily unavailable.', {
      headers: { 'Retry-After': '5' },
      cause: error,
    })
  }
}

/** The requested range; undefined for the whole: no range, several, or an outdated `If-Range`. */
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

/** RFC 9110 § 13.1.2; the weak tag of a cache in between counts as well. */
function isCached(ifNoneMatch: string | undefined, etag: string): boolean {
  const tags = listElements(ifNoneMatch).map((tag) => tag.replace(/^W\//, ''))
  return tags.includes('*') || tags.includes(etag)
}

function isClientGone(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return code === 'ERR_STREAM_PREMATURE_CLOSE' || code === 'ERR_STREAM_UNABLE_TO_PIPE'
}
