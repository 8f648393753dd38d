import { ERRORS, Metadata } from '@tus/utils'
import type { Request } from 'express'
import { Problem } from '../errors.ts'

// What `@tus/server` lets through, misreads or answers with another status than the standard says is
// settled here, before it sees the request.

export const TUS_VERSION = '1.0.0'
const OFFSET_STREAM = 'application/offset+octet-stream'
const OVERRIDABLE = new Set(['PATCH', 'DELETE', 'HEAD'])

/** tus 1.0 § X-HTTP-Method-Override: where a proxy blocks PATCH or DELETE, a POST stands in. */
export function applyMethodOverride(request: Request): void {
  const override = request.headers['x-http-method-override']
  if (override === undefined) return
  const method = String(override).toUpperCase()
  if (request.method !== 'POST' || !OVERRIDABLE.has(method)) {
    throw new Problem('invalid-header', 'X-HTTP-Method-Override takes PATCH, DELETE or HEAD, on POST.')
  }
  request.method = method
}

/** tus 1.0 § Tus-Resumable: any other version is refused before the request is looked at. */
export function checkVersion(request: Request): void {
  if (request.headers['tus-resumable'] === TUS_VERSION) return
  throw new Problem('unsupported-version', `This server speaks tus ${TUS_VERSION}.`, {
    headers: { 'Tus-Version': TUS_VERSION },
  })
}

/** Reads a header that holds a count of bytes. Fails with `invalid-header`. */
export function byteCountHeader(request: Request, name: string): number | undefined {
  const text = request.headers[name.toLowerCase()]
  if (text === undefined) return undefined
  const value = typeof text === 'string' && /^(0|[1-9]\d{0,15})$/.test(text) ? Number(text) : Number.NaN
  if (!Number.isSafeInteger(value)) {
    throw new Problem('invalid-header', `${name} takes a whole number of bytes from 0 to 2^53-1.`)
  }
  return value
}

/**
 * Bytes a request says its body has; undefined when it comes in chunks. Node has checked the header, and
 * a request with neither header has no body.
 */
export function declaredBodyLength(request: Request): number | undefined {
  if (request.headers['transfer-encoding'] !== undefined) return undefined
  return Number(request.headers['content-length'] ?? 0)
}

/** tus 1.0 § creation, § creation-with-upload, § creation-defer-length. */
export function checkCreation(request: Request): void {
  const length = byteCountHeader(request, 'Upload-Length')
  const deferred = request.headers['upload-defer-length']
  if (deferred !== undefined && deferred !== '1') {
    throw new Problem('invalid-header', 'Upload-Defer-Length takes 1.')
  }
  if ((length === undefined) === (deferred === undefined)) {
    throw new Problem('invalid-header', 'Send either Upload-Length or Upload-Defer-Length: 1.')
  }
  if (request.headers['upload-concat'] !== undefined) {
    throw new Problem('invalid-header', 'Concatenation is not supported: switch parallel uploads off.')
  }
  checkMetadataSyntax(request)
  if (hasBody(request)) {
    checkContentType(request)
    checkNoChecksum(request)
  }
}

/** tus 1.0 § Upload-Metadata. What its values may be is for `hooks/declaration.ts` to say. */
function checkMetadataSyntax(request: Request): void {
  const text = request.headers['upload-metadata']
  if (text === undefined) return
  try {
    Metadata.parse(String(text))
  } catch {
    throw ERRORS.INVALID_METADATA
  }
}

/** tus 1.0 § PATCH. */
export function checkAppend(request: Request): void {
  checkContentType(request)
  checkNoChecksum(request)
  if (byteCountHeader(request, 'Upload-Offset') === undefined) {
    throw new Problem('invalid-header', 'Upload-Offset is required.')
  }
  byteCountHeader(request, 'Upload-Length')
}

function checkContentType(request: Request): void {
  if (request.headers['content-type'] === OFFSET_STREAM) return
  throw new Problem('unsupported-content-type', `Bytes are sent as ${OFFSET_STREAM}.`)
}

/** A checksum nobody verifies would be a promise nobody keeps. */
function checkNoChecksum(request: Request): void {
  if (request.headers['upload-checksum'] === undefined) return
  throw new Problem('invalid-header', 'Upload-Checksum is not supported.')
}

function hasBody(request: Request): boolean {
  return (
    request.headers['transfer-encoding'] !== undefined || Number(request.headers['content-length'] ?? 0) > 0
  )
}
