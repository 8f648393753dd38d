import { pipeline } from 'node:stream/promises'
import type { Request, Response } from 'express'
import { ObjectMissing, type Objects } from '../../storage/objects.ts'
import { Problem } from '../errors.ts'

export type ServedObject = {
  key: string
  size: number
  /** As identified by us, never as declared by a client. */
  contentType: string
  /** Strong validator, without quotes. */
  tag: string
}

/** Sends an object or the range of it that was asked for (RFC 9110 § 14), never to be run as a page. */
export async function sendObject(
  objects: Objects,
  request: Request,
  response: Response,
  object: ServedObject,
): Promise<void> {
  const etag = `"${object.tag}"`
  response.set({
    'Accept-Ranges': 'bytes',
    'Cache-Control': 'private, max-age=3600',
    'Content-Disposition': 'inline',
    'Content-Security-Policy': "default-src 'none'; sandbox",
    'Content-Type': object.contentType,
    'Cross-Origin-Resource-Policy': 'cross-origin',
    ETag: etag,
    'X-Content-Type-Options': 'nosniff',
  })
  if (isCached(request.get('If-None-Match'), etag)) return void response.status(304).end()

  const range = requestedRange(request, object.size, etag)
  const { start, end } = range ?? { start: 0, end: object.size - 1 }
  if (range) response.status(206).set('Content-Range', `bytes ${start}-${end}/${object.size}`)
  response.set('Content-Length', String(end - start + 1))
  if (request.method === 'HEAD') return void response.end()

  const source = await objects.read(object.key, { start, end }).catch((error: unknown) => {
    if (!(error instanceof ObjectMissing)) throw error
    // The row says ready and the bytes are gone: ours to look into, for the client it is an outage.
    throw new Problem('unavailable', 'The content cannot be read at the moment.', { cause: error })
  })
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
