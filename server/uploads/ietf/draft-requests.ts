import type { Request, Response } from 'express'
import { ContentRefused } from '../../../content/verdict.ts'
import { postFinish } from '../../../hooks/post-finish.ts'
import { checkSize, preCreate } from '../../../hooks/pre-create.ts'
import type { UploadId } from '../../../ledger/ids.ts'
import type { UploadRow } from '../../../ledger/uploads.ts'
import { withAppendContext } from '../../../storage/store/append-context.ts'
import { isComplete } from '../../../storage/store/commits.ts'
import { UploadNotFound } from '../../../storage/store/outcomes.ts'
import { isTooLong } from '../../../storage/store/upload-books.ts'
import { Problem } from '../../http/errors.ts'
import { LeaseLocker } from '../locker.ts'
import { Interrupted } from '../request-body.ts'
import { declaredBodyLength } from '../request-checks.ts'
import { LEASE_DRAIN_MS, type UploadEndpointOptions } from '../upload-endpoint.ts'
import { receivedBody, type UploadRequest, uploadRequest } from '../upload-request.ts'
import { digestCheck, digestRecord, digestsOf, ReprDigest, wantedDigest } from './digest-fields.ts'
import { completedUpload, inconsistentLength, mismatchingOffset, translateDraftError } from './errors.ts'
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

type Handle = (request: Request, response: Response, uploadId: UploadId) => Promise<void>

/** What a request of the draft says, as far as it concerns its bytes. */
type Said = { isLast: boolean; length: number | undefined; version: InteropVersion | undefined }

/**
 * draft-ietf-httpbis-resumable-upload on the ledger and stores of tus 1.0. It differs from that in what completes
 * an upload: not its last byte, but a request that says so.
 */
export function draftRequests(
  options: UploadEndpointOptions,
): Record<'create' | 'append' | 'offset' | 'cancel', Handle> {
  const { leases, progress, store } = options
  const { policy } = options.preCreate

  /** § Upload Creation. */
  const create = translated(async (request, response, uploadId) => {
    const said = whatIsSaid(request)
    const bodyLength = declaredBodyLength(request)
    const size = lengthOf(said, 0, bodyLength)
    if (size !== undefined && (bodyLength ?? 0) > size) throw inconsistentLength()
    checkSize(policy, size ?? null)
    const context = draftRequest(request, response, uploadId, said, 0)
    context.upload = await preCreate(options.preCreate, {
      id: uploadId,
      ownerId: context.ownerId,
      tenantId: context.principal.tenantId,
      protocol: `ietf-${said.version ?? 'draft'}`,
      size: size ?? null,
      metadata: metadataOf(request),
      metadataHeader: request.get('upload-metadata') ?? null,
      concat: null,
      isPartial: false,
      digests: digestRecord(digestsOf(request, 'Repr-Digest')),
      wantedDigest: wantedDigest(request) ?? null,
    })
    progress.tick(uploadId, 0, size ?? null, 0)
    const location = `${context.baseUrl}${options.path}/${uploadId}`
    response.set('Location', location)
    interim.get(context)?.announce(location, limitsOfUpload(policy, context.upload, said.version))
    if (bodyLength !== 0 || said.isLast) await receive(context, said, async () => 0)
    answer(response, context.upload, { created: 201, appended: 201 }, said.version)
  })

  /** § Upload Append. */
  const append = translated(async (request, response, uploadId) => {
    const said = whatIsSaid(request)
    const offset = uploadOffset(request)
    if (request.get('content-type') !== PARTIAL_UPLOAD)
      throw new Problem('unsupported-content-type', `Bytes are appended as ${PARTIAL_UPLOAD}.`)
    if (offset === undefined) throw new Problem('invalid-header', 'Upload-Offset is required.')
    const context = draftRequest(request, response, uploadId, said, offset)
    await receive(context, said, async () => {
      const upload = await store.getUpload(uploadId)
      checkAppend(context, said, offset, upload.offset)
      return offset
    })
    if (!context.upload) throw new UploadNotFound()
    answer(response, context.upload, { created: 201, appended: said.version === 6 ? 201 : 204 }, said.version)
  })

  /** § Offset Retrieval. A request that is still sending is asked to let go first. */
  const offset = translated(async (request, response, uploadId) => {
    const version = interopVersion(request)
    refuseFields(request, version, ['Upload-Offset', 'Upload-Complete', 'Upload-Length'])
    const context = uploadRequest(request, response, { ...base(request, uploadId), onReceived: () => {} })
    const current = await locked(context, () => store.getUpload(uploadId))
    const { upload } = context
    if (!upload) throw new UploadNotFound()
    if (upload.size !== null) response.set('Upload-Length', String(upload.size))
    response
      .status(204)
      .set({
        'Upload-Offset': String(current.offset),
        'Upload-Complete': booleanField(upload.state === 'received'),
        'Upload-Limit': limitsOfUpload(policy, upload, version),
        'Cache-Control': 'no-store',
      })
      .end()
  })

  /** § Upload Cancellation. */
  const cancel = translated(async (request, response, uploadId) => {
    refuseFields(request, interopVersion(request), ['Upload-Offset', 'Upload-Complete'])
    const context = uploadRequest(request, response, { ...base(request, uploadId), onReceived: () => {} })
    await locked(context, () => store.remove(uploadId))
    response.status(204).end()
  })

  const interim = new WeakMap<UploadRequest, InterimResponses>()
  const base = (request: Request, uploadId: UploadId) => ({ uploadId, baseUrl: options.baseUrl(request) })

  function draftRequest(
    request: Request,
    response: Response,
    uploadId: UploadId,
    said: Said,
    from: number,
  ): UploadRequest {
    const responses = new InterimResponses(response, said.version)
    const contentChecks = digestsOf(request, 'Content-Digest').map(digestCheck)
    const context: UploadRequest = uploadRequest(request, response, {
      ...base(request, uploadId),
      isAppend: true,
      isAtomic: contentChecks.length > 0,
      completes: said.isLast,
      bodyChecks: contentChecks,
      onWhole: said.isLast ? (to) => settleLength(context, to) : undefined,
      onReceived: (offset, size) => progress.tick(uploadId, offset, size, from),
      onCommitted: (offset) => responses.progress(offset),
    })
    interim.set(context, responses)
    return context
  }

  /** § Length: the last request has been read to its end, so the length is known, and has to be the one that was said. */
  async function settleLength(context: UploadRequest, to: number): Promise<void> {
    const { upload, uploadId } = context
    if (upload?.size === to) return
    if (!upload || upload.size !== null) throw inconsistentLength()
    checkSize(policy, to)
    await store.declareUploadLength(uploadId, to)
  }

  function checkAppend(
    { bodyLength, upload }: UploadRequest,
    said: Said,
    offset: number,
    current: number,
  ): void {
    if (!upload) throw new UploadNotFound()
    const isReplay = said.version !== 6 && said.isLast && bodyLength === 0 && offset === upload.size
    if (isComplete(upload) && !isReplay && (said.version === 6 || offset === upload.size))
      throw completedUpload(upload.size ?? 0)
    if (offset !== current) throw mismatchingOffset(current, offset)
    const length = lengthOf(said, offset, bodyLength)
    if (upload.size !== null && length !== undefined && length !== upload.size) throw inconsistentLength()
  }

  /** Stores the body behind the offset that `look`, under the lease, says it belongs to. */
  async function receive(context: UploadRequest, said: Said, look: () => Promise<number>): Promise<void> {
    await locked(context, async (signal) => {
      const offset = await look()
      const { bodyLength, upload, uploadId } = context
      if (!upload || isComplete(upload)) return
      const length = lengthOf(said, offset, bodyLength)
      if (upload.size === null && length !== undefined) {
        checkSize(policy, length)
        await store.declareUploadLength(uploadId, length)
      }
      // Of a file that comes in several requests, its processing compares what was promised.
      const reprDigest = offset === 0 && said.isLast ? ReprDigest.of(upload) : undefined
      if (reprDigest) context.bodyChecks.push(reprDigest)
      const maxBytes = (upload.size ?? policy.maxSize) - offset
      const body = receivedBody(options, { maxBytes, signal })
      const bounded = upload.size === null ? body : ended(body, said.version)
      await store.write(bounded, uploadId, offset).catch((error: unknown) => {
        throw upload.size !== null && isTooLong(error) ? inconsistentLength() : error
      })
      if (!context.incoming.complete) throw new Interrupted()
      if (upload.state === 'received') reprDigest?.tell(context.response)
    })
  }

  async function locked<Result>(
    context: UploadRequest,
    work: (signal: AbortSignal) => Promise<Result>,
  ): Promise<Result> {
    const ending = new AbortController()
    context.over.addEventListener('abort', () => ending.abort(), { once: true })
    if (context.over.aborted) ending.abort()
    return await withAppendContext(context, async () => {
      const lock = new LeaseLocker(leases).newLock(context.uploadId)
      await lock.lock(ending.signal, () => void setTimeout(() => ending.abort(), LEASE_DRAIN_MS))
      try {
        return await work(ending.signal)
      } finally {
        await lock.unlock()
      }
    })
  }

  function answer(
    response: Response,
    upload: UploadRow,
    status: { created: number; appended: number },
    version: InteropVersion | undefined,
  ): void {
    const isDone = upload.state === 'received'
    response.set({
      'Upload-Complete': booleanField(isDone),
      'Upload-Offset': String(upload.offset),
      'Upload-Limit': limitsOfUpload(policy, upload, version),
    })
    if (!isDone) return void response.status(status.appended).end()
    response.status(status.created).set(postFinish(options.bus, upload))
    response.json({ uploadId: upload.id, mediaId: upload.media_id })
  }

  function translated(handle: Handle): Handle {
    return async (request, response, uploadId) => {
      try {
        await handle(request, response, uploadId)
      } catch (error) {
        throw translateDraftError(error, { version: interopVersion(request), upload: undefined, policy })
      }
    }
  }

  return { create, append, offset, cancel }
}

/** Fails with `invalid-header`. */
function whatIsSaid(request: Request): Said {
  const isLast = uploadComplete(request)
  if (isLast === undefined) throw new Problem('invalid-header', 'Upload-Complete is required: ?1 or ?0.')
  return { isLast, length: uploadLength(request), version: interopVersion(request) }
}

/** § Length: as a request indicates it in one way or the other. Fails with `inconsistent-length` where they differ. */
function lengthOf(said: Said, offset: number, bodyLength: number | undefined): number | undefined {
  const end = said.isLast && bodyLength !== undefined ? offset + bodyLength : undefined
  if (said.length !== undefined && end !== undefined && said.length !== end) throw inconsistentLength()
  return said.length ?? end
}

/** Version 6, § Offset Retrieval and § Upload Cancellation: these fields have no place there. */
function refuseFields(request: Request, version: InteropVersion | undefined, names: readonly string[]): void {
  const found = version === 6 ? names.find((name) => request.get(name) !== undefined) : undefined
  if (found !== undefined) throw new Problem('invalid-header', `${found} is not for this request.`)
}

/** § Upload Append: who sends more than the length ends the upload with it, but for version 6. */
async function* ended(
  body: AsyncIterable<Uint8Array>,
  version: InteropVersion | undefined,
): AsyncGenerator<Uint8Array> {
  try {
    yield* body
  } catch (error) {
    if (version === 6 || !isTooLong(error)) throw error
    throw new ContentRefused({ code: 'length-exceeded', detail: 'More bytes were sent than its length.' })
  }
}
