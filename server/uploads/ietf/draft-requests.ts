import type { Request, Response } from 'express'
import { ContentRejected } from '../../../content/verdict.ts'
import { checkSize } from '../../../hooks/pre-create.ts'
import type { UploadId } from '../../../ledger/ids.ts'
import type { UploadRow } from '../../../ledger/uploads.ts'
import { BodyTooLong } from '../../../storage/store/outcomes.ts'
import type { Addresses } from '../../http/addresses.ts'
import { Problem } from '../../http/errors.ts'
import { mediaTypeOf } from '../../http/list-header.ts'
import { type Body, type BodyCheck, noting } from '../body.ts'
import { callOf } from '../call.ts'
import { refuseContentCoding } from '../content-coding.ts'
import type { UploadEngine } from '../engine.ts'
import { type Held, isComplete, notHeld, rowOf } from '../held.ts'
import { mediaHeaders } from '../outcome-headers.ts'
import { BodyIdle, Interrupted } from '../outcomes.ts'
import type { ProtocolOptions } from '../protocol-options.ts'
import { bodyOf, hasBody } from '../request-body.ts'
import { digestCheck, digestRecord, digestsOf, ReprDigest, wantedDigest } from './digest-fields.ts'
import {
  booleanField,
  type InteropVersion,
  interopVersion,
  PARTIAL_UPLOAD,
  uploadComplete,
  uploadLength,
  uploadOffset,
} from './fields.ts'
import { InterimResponses } from './interim.ts'
import { limitsOfUpload } from './limits.ts'
import { metadataOf } from './metadata.ts'
import { completedUpload, inconsistentLength, mismatchingOffset, toIetfProblem } from './problems.ts'

type Handle = (request: Request, response: Response, uploadId: UploadId) => Promise<void>

/** The fields of a request about its bytes. */
type DraftFields = { isLast: boolean; length: number | undefined; version: InteropVersion | undefined }

/** A request with bytes. */
type BodyRequest = {
  addresses: Addresses
  held: Held
  body: Body
  fields: DraftFields
  checks: BodyCheck[]
  interim: InterimResponses
  response: Response
}

/**
 * draft-ietf-httpbis-resumable-upload on the engine. Unlike in tus 1.0 an upload is completed by a request that says
 * so, and not by its last byte.
 */
export function draftRequests(
  engine: UploadEngine,
  protocol: ProtocolOptions,
): Record<'create' | 'append' | 'offset' | 'cancel', Handle> {
  const { policy } = engine
  const { addressesOf, path } = protocol

  /** § Upload Creation. */
  const create = translated(async (request, response, uploadId) => {
    const incoming = bodyRequestOf(request, response, uploadId)
    const { body, held, interim, fields } = incoming
    const size = lengthOf(fields, 0, body.length)
    if (size !== undefined && (body.length ?? 0) > size) throw inconsistentLength()
    checkSize(policy, size ?? null)
    const upload = await engine.create(held.call, {
      protocol: `ietf-${fields.version ?? 'draft'}`,
      size: size ?? null,
      ...metadataOf(request),
      concat: null,
      isPartial: false,
      digests: digestRecord(digestsOf(request, 'Repr-Digest')),
      wantedDigest: wantedDigest(request) ?? null,
    })
    held.upload = upload
    const location = addressesOf(request).location(`${path}/${uploadId}`)
    response.set('Location', location)
    interim.sendLocation(location, limitsOfUpload(policy, upload, fields.version))
    if (body.length !== 0 || fields.isLast) await receive(incoming, async () => 0)
    answer(request, response, upload, { created: 201, appended: 201 })
  })

  /** § Upload Append. */
  const append = translated(async (request, response, uploadId) => {
    const incoming = bodyRequestOf(request, response, uploadId)
    const { held, fields } = incoming
    const offset = uploadOffset(request)
    if (mediaTypeOf(request.get('content-type')) !== PARTIAL_UPLOAD)
      throw new Problem('unsupported-content-type', `Bytes are appended as ${PARTIAL_UPLOAD}.`)
    if (hasBody(request)) refuseContentCoding(request)
    if (offset === undefined) throw new Problem('invalid-header', 'Upload-Offset is required.')
    await receive(incoming, async () => {
      await engine.look(held, 'append')
      checkAppend(incoming, offset)
      return offset
    })
    answer(request, response, rowOf(held), { created: 201, appended: fields.version === 6 ? 201 : 204 })
  })

  /** § Offset Retrieval. A request that is still sending is asked to release the upload first. */
  const offset = translated(async (request, response, uploadId) => {
    const version = interopVersion(request)
    refuseFields(request, version, ['Upload-Offset', 'Upload-Complete', 'Upload-Length'])
    const held = notHeld(callOf(request, response, uploadId))
    const upload = await engine.hold(held, () => engine.look(held, 'read'))
    if (upload.size !== null) response.set('Upload-Length', String(upload.size))
    response
      .status(204)
      .set({ ...described(request, upload, held.offset), 'Cache-Control': 'no-store' })
      .end()
  })

  /** § Upload Cancellation. */
  const cancel = translated(async (request, response, uploadId) => {
    refuseFields(request, interopVersion(request), ['Upload-Offset', 'Upload-Complete'])
    const held = notHeld(callOf(request, response, uploadId))
    await engine.hold(held, () => engine.cancel(held))
    response.status(204).end()
  })

  function bodyRequestOf(request: Request, response: Response, uploadId: UploadId): BodyRequest {
    const fields = readFields(request)
    return {
      addresses: addressesOf(request),
      held: notHeld(callOf(request, response, uploadId)),
      body: bodyOf(request, response, protocol),
      fields,
      checks: digestsOf(request, 'Content-Digest').map(digestCheck),
      interim: new InterimResponses(response, protocol.passesInterim(request) ? fields.version : undefined),
      response,
    }
  }

  /** § Length: the last request was read to its end, so the length is known, and must be the declared one. */
  async function settleLength(held: Held, to: number): Promise<void> {
    const { size } = rowOf(held)
    if (size === to) return
    if (size !== null) throw inconsistentLength()
    await engine.declareLength(held, to, to)
  }

  function checkAppend({ addresses, body, held, fields }: BodyRequest, offset: number): void {
    const upload = rowOf(held)
    const isReplay = fields.version !== 6 && fields.isLast && body.length === 0 && offset === upload.size
    if (isComplete(upload) && !isReplay && (fields.version === 6 || offset === upload.size))
      throw completedUpload(upload.size ?? 0, mediaHeaders(upload, addresses))
    if (offset !== held.offset) throw mismatchingOffset(held.offset, offset)
    const length = lengthOf(fields, offset, body.length)
    if (upload.size === null) return
    if (length !== undefined && length !== upload.size) throw inconsistentLength()
    // By later versions it ends the upload: see `ended`.
    if (fields.version === 6 && offset + (body.length ?? 0) > upload.size) throw inconsistentLength()
  }

  /** Stores the body after the offset that `look` returns under the lease. */
  async function receive(incoming: BodyRequest, look: () => Promise<number>): Promise<void> {
    const { body, checks, held, interim, response, fields } = incoming
    await engine.hold(held, async (signal) => {
      const offset = await look()
      const upload = rowOf(held)
      if (isComplete(upload)) return
      const length = lengthOf(fields, offset, body.length)
      if (upload.size === null && length !== undefined) await engine.declareLength(held, length, offset)
      // For a file in several requests, processing compares the digest.
      const reprDigest = offset === 0 && fields.isLast ? ReprDigest.of(upload) : undefined
      const noted = noting(body)
      const bounded = upload.size === null ? noted : ended(noted, fields.version)
      const options = {
        offset,
        maxBytes: (upload.size ?? engine.policyFor(upload).maxSize) - offset,
        signal,
        checks: reprDigest ? [...checks, reprDigest] : checks,
        isAtomic: checks.length > 0,
        // Version 6, § Upload Append: bytes are appended up to the length, and the request is refused.
        completes: () => fields.isLast && !noted.wasTooLong,
        onWhole: fields.isLast ? (to: number) => settleLength(held, to) : undefined,
        onCommitted: (to: number) => interim.progress(to),
      }
      await engine.receive(held, bounded, options).catch((error: unknown) => {
        if (upload.state === 'open' && (error instanceof BodyIdle || error instanceof BodyTooLong))
          response.set('Upload-Offset', String(upload.offset))
        throw upload.size !== null && error instanceof BodyTooLong ? inconsistentLength() : error
      })
      if (!body.isWhole()) throw new Interrupted()
      if (upload.state === 'received') reprDigest?.addHeader(response)
    })
  }

  /** What every answer tells of an upload: also an answer to a client that has lost the last one. */
  function described(request: Request, upload: UploadRow, offset: number): Record<string, string> {
    return {
      'Upload-Complete': booleanField(upload.state === 'received'),
      'Upload-Offset': String(offset),
      'Upload-Limit': limitsOfUpload(policy, upload, interopVersion(request)),
      ...mediaHeaders(upload, addressesOf(request)),
    }
  }

  function answer(
    request: Request,
    response: Response,
    upload: UploadRow,
    status: { created: number; appended: number },
  ): void {
    response.set(described(request, upload, upload.offset))
    if (upload.state !== 'received') return void response.status(status.appended).end()
    response.status(status.created).json({ uploadId: upload.id, mediaId: upload.media_id })
  }

  function translated(handle: Handle): Handle {
    return async (request, response, uploadId) => {
      try {
        await handle(request, response, uploadId)
      } catch (error) {
        throw toIetfProblem(error, { version: interopVersion(request), policy })
      }
    }
  }

  return { create, append, offset, cancel }
}

/** Fails with `invalid-header`. */
function readFields(request: Request): DraftFields {
  const isLast = uploadComplete(request)
  if (isLast === undefined) throw new Problem('invalid-header', 'Upload-Complete is required: ?1 or ?0.')
  return { isLast, length: uploadLength(request), version: interopVersion(request) }
}

/** § Length: as a request declares it, in one way or the other. Fails with `inconsistent-length` where they differ. */
function lengthOf(fields: DraftFields, offset: number, bodyLength: number | undefined): number | undefined {
  const end = fields.isLast && bodyLength !== undefined ? offset + bodyLength : undefined
  if (fields.length !== undefined && end !== undefined && fields.length !== end) throw inconsistentLength()
  return fields.length ?? end
}

/** Version 6, § Offset Retrieval and § Upload Cancellation: these fields are not allowed there. */
function refuseFields(request: Request, version: InteropVersion | undefined, names: readonly string[]): void {
  const found = version === 6 ? names.find((name) => request.get(name) !== undefined) : undefined
  if (found !== undefined) throw new Problem('invalid-header', `${found} is not for this request.`)
}

/** § Upload Append: sending more than the length ends the upload, except in version 6. */
function ended(body: Body, version: InteropVersion | undefined): Body {
  if (version === 6) return body
  return {
    ...body,
    async *read(limits) {
      try {
        yield* body.read(limits)
      } catch (error) {
        if (!(error instanceof BodyTooLong)) throw error
        throw new ContentRejected({
          code: 'length-exceeded',
          detail: 'More bytes were sent than its length.',
        })
      }
    },
  }
}
