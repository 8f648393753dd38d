import type { Request } from 'express'
import { Problem } from '../../http/errors.ts'
import { mediaTypeOf } from '../../http/list-header.ts'
import { refuseContentCoding } from '../content-coding.ts'
import { declaredLength, hasBody } from '../request-body.ts'
import { readMetadata, type UploadMetadata } from '../upload-metadata.ts'

// Checks that `@tus/server` lacks, or does differently from the standard, before it sees the request.

export const TUS_VERSION = '1.0.0'
const OFFSET_STREAM = 'application/offset+octet-stream'

/** tus 1.0 § Tus-Resumable: any other version is refused before the request is read. */
export function checkVersion(request: Request): void {
  if (request.headers['tus-resumable'] === TUS_VERSION) return
  throw new Problem('unsupported-version', `This server speaks tus ${TUS_VERSION}.`, {
    headers: { 'Tus-Version': TUS_VERSION },
  })
}

/** Reads a header that holds a count of bytes. Fails with `invalid-header`. */
function byteCountHeader(request: Request, name: string): number | undefined {
  const text = request.headers[name.toLowerCase()]
  if (text === undefined) return undefined
  const value = typeof text === 'string' && /^(0|[1-9]\d{0,15})$/.test(text) ? Number(text) : Number.NaN
  if (!Number.isSafeInteger(value)) {
    throw new Problem('invalid-header', `${name} takes a whole number of bytes from 0 to 2^53-1.`)
  }
  return value
}

/** An upload as a request declares it. `size` is null where its length is to be declared later. */
export type Declared = UploadMetadata & { size: number | null }

/** tus 1.0 § creation, § creation-with-upload, § creation-defer-length. */
export function readCreation(request: Request): Declared {
  const length = byteCountHeader(request, 'Upload-Length')
  const deferred = request.headers['upload-defer-length']
  if (deferred !== undefined && deferred !== '1') {
    throw new Problem('invalid-header', 'Upload-Defer-Length takes 1.')
  }
  if ((length === undefined) === (deferred === undefined)) {
    throw new Problem('invalid-header', 'Send either Upload-Length or Upload-Defer-Length: 1.')
  }
  const metadata = readMetadata(request)
  if (length !== undefined && (declaredLength(request) ?? 0) > length)
    throw new Problem('too-large', 'The body is longer than the upload.')
  if (hasBody(request)) checkContentType(request)
  return { size: length ?? null, ...metadata }
}

/** tus 1.0 § concatenation: a final upload has neither length nor bytes of its own. */
export function checkFinalCreation(request: Request): void {
  for (const name of ['Upload-Length', 'Upload-Defer-Length']) {
    if (request.headers[name.toLowerCase()] === undefined) continue
    throw new Problem(
      'invalid-header',
      `${name} is not for a final upload: its length is that of its partials.`,
    )
  }
  if (hasBody(request)) throw new Problem('invalid-header', 'A final upload takes no bytes of its own.')
}

/** tus 1.0 § PATCH. Returns the length that it declares, if it does (§ creation-defer-length). */
export function readAppend(request: Request): number | undefined {
  checkContentType(request)
  if (byteCountHeader(request, 'Upload-Offset') === undefined) {
    throw new Problem('invalid-header', 'Upload-Offset is required.')
  }
  return byteCountHeader(request, 'Upload-Length')
}

function checkContentType(request: Request): void {
  if (mediaTypeOf(request.headers['content-type']) !== OFFSET_STREAM)
    throw new Problem('unsupported-content-type', `Bytes are sent as ${OFFSET_STREAM}.`)
  if (hasBody(request)) refuseContentCoding(request)
}
