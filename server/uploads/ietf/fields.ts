import type { Request } from 'express'
import { parseItem } from 'structured-headers'
import { mediaTypeOf } from '../../http/list-header.ts'

// The structured fields (RFC 9651) of draft-ietf-httpbis-resumable-upload. A value of another type counts as absent, as
// the draft demands.

/** Versions of the draft as its clients name them: 6 is draft -05, 8 the newest. */
export const INTEROP_VERSIONS = [6, 8] as const
export type InteropVersion = (typeof INTEROP_VERSIONS)[number]

export const PARTIAL_UPLOAD = 'application/partial-upload'

/** Whether a request is one of the draft and not of tus 1.0. */
export function speaksDraft(request: Request): boolean {
  if (request.get('tus-resumable') !== undefined) return false
  return (
    request.get('upload-draft-interop-version') !== undefined ||
    request.get('upload-complete') !== undefined ||
    mediaTypeOf(request.get('content-type')) === PARTIAL_UPLOAD
  )
}

/** The client's version of the draft; undefined for unknown ones, which get no interim responses. */
export function interopVersion(request: Request): InteropVersion | undefined {
  const version = integer(request, 'upload-draft-interop-version')
  return INTEROP_VERSIONS.find((known) => known === version)
}

/** § Upload-Complete. */
export function uploadComplete(request: Request): boolean | undefined {
  const value = item(request, 'upload-complete')
  return typeof value === 'boolean' ? value : undefined
}

/** § Upload-Offset. Bytes. */
export const uploadOffset = (request: Request): number | undefined => integer(request, 'upload-offset')

/** § Upload-Length. Bytes. */
export const uploadLength = (request: Request): number | undefined => integer(request, 'upload-length')

export const booleanField = (value: boolean): string => (value ? '?1' : '?0')

function integer(request: Request, name: string): number | undefined {
  const value = item(request, name)
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 ? value : undefined
}

function item(request: Request, name: string): unknown {
  const text = request.get(name)
  if (text === undefined) return undefined
  try {
    const [value] = parseItem(text)
    return /^-?\d+\./.test(text.trim()) ? undefined : value
  } catch {
    return undefined
  }
}
