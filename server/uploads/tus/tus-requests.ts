import { ERRORS } from '@tus/utils'
import type { Request, Response } from 'express'
import { postFinish } from '../../../hooks/post-finish.ts'
import { checkSize, preCreate } from '../../../hooks/pre-create.ts'
import type { OwnerId, UploadId } from '../../../ledger/ids.ts'
import { findUpload, type UploadRow } from '../../../ledger/uploads.ts'
import { withAppendContext } from '../../../storage/store/append-context.ts'
import { StorageAway, StorageFull } from '../../../storage/store/objects.ts'
import { isFinal, isTooLong } from '../../../storage/store/upload-books.ts'
import { principalOf } from '../../auth/authenticate.ts'
import { Problem } from '../../http/errors.ts'
import { DigestMismatch } from '../body-digests.ts'
import { LeaseLocker } from '../locker.ts'
import { byteCountHeader } from '../request-checks.ts'
import { translateTusError } from '../translate.ts'
import { LEASE_DRAIN_MS, type UploadEndpointOptions } from '../upload-endpoint.ts'
import { receivedBody, runningRequest, type UploadRequest, uploadRequest } from '../upload-request.ts'
import { checksumOf } from './checksum.ts'
import { BodilessRequest, NativeBodyServer } from './native-body.ts'

export type HandleTusRequest = (request: Request, response: Response, uploadId: UploadId) => Promise<void>

/**
 * Answers POST, HEAD, PATCH and DELETE of tus 1.0 for one upload: `@tus/server` runs the protocol, the ledger stands
 * under it, and what fails is translated once. Fails with a `Problem`, or with what the renderer knows.
 */
export function tusRequests(options: UploadEndpointOptions): HandleTusRequest {
  const { bus, progress } = options
  const { db, policy } = options.preCreate
  const addressOf = ({ baseUrl, uploadId }: UploadRequest) => `${baseUrl}${options.path}/${uploadId}`

  const locker = new LeaseLocker(options.leases)
  const tus = new NativeBodyServer({
    path: options.path,
    datastore: options.store,
    bodyOf: (limits) => receivedBody(options, limits),
    locker,
    lockDrainTimeout: LEASE_DRAIN_MS,
    maxSize: policy.maxSize,
    getFileIdFromRequest: () => runningRequest().uploadId,
    namingFunction: () => runningRequest().uploadId,
    generateUrl: () => addressOf(runningRequest()),
    onUploadCreate: async (_request, upload) => {
      const running = runningRequest()
      const concat = running.incoming.get('upload-concat') ?? null
      running.upload = await preCreate(options.preCreate, {
        id: running.uploadId,
        ownerId: running.ownerId,
        tenantId: running.principal.tenantId,
        protocol: 'tus-1.0',
        size: upload.size ?? null,
        metadata: upload.metadata ?? {},
        metadataHeader: running.incoming.get('upload-metadata') ?? null,
        concat,
        isPartial: concat !== null,
        digests: null,
        wantedDigest: null,
      })
      progress.tick(running.uploadId, 0, upload.size ?? null, 0)
      return {}
    },
    onResponseError: (_request, error) => {
      runningRequest().failure = error
      return undefined
    },
  })

  return async function handle(request, response, uploadId) {
    const from = byteCountHeader(request, 'Upload-Offset') ?? 0
    const checksum = request.method === 'HEAD' ? undefined : checksumOf(request)
    const webRequest = new BodilessRequest(request, response)
    const length = await newLength(request, principalOf(response).ownerId, uploadId)
    // A request that fails its checksum changes nothing: its length is declared behind that, and not by the package.
    const isLate = length !== undefined && checksum !== undefined
    if (request.method === 'PATCH' && (length === undefined || isLate))
      webRequest.headers.delete('upload-length')
    const context = uploadRequest(request, response, {
      uploadId,
      baseUrl: options.baseUrl(request),
      isAppend: request.method === 'PATCH',
      isAtomic: checksum !== undefined,
      bodyChecks: checksum ? [checksum] : [],
      onWhole: isLate ? (to) => declareLength(length, to) : undefined,
      onReceived: (offset, size) => progress.tick(uploadId, offset, size, from),
    })
    // The address is ours to build, and the package refuses lists in it.
    webRequest.headers.delete('x-forwarded-proto')
    // Ours as well: the package knows no concatenation.
    webRequest.headers.delete('upload-concat')
    // By its presence alone the package would write a body that is not there.
    if (request.method === 'POST' && context.bodyLength === 0) webRequest.headers.delete('content-type')
    const answer = await withAppendContext(context, () => tus.handleWeb(webRequest))
    const { failure, upload } = context
    if (request.method === 'POST' && upload && isStorageFault(failure)) {
      return answerCreation(response, upload, addressOf(context))
    }
    if (request.method === 'POST' && upload && isRefusal(failure)) await withdraw(context)
    if (failure !== undefined) throw translateTusError(failure, upload)
    // Of headers that are malformed the package says so by itself, before anything is asked or told.
    if (answer.status >= 400) throw new Problem('invalid-header', (await answer.text()).trim())
    response.status(answer.status).set(headersOf(answer))
    if (upload) describe(request, response, upload)
    response.end(await answer.text())
  }

  /**
   * The length that a PATCH declares, where that is news: a client that resumes says again what it has declared
   * before, and only another length is an error.
   */
  async function newLength(
    request: Request,
    ownerId: OwnerId,
    uploadId: UploadId,
  ): Promise<number | undefined> {
    const length = request.method === 'PATCH' ? byteCountHeader(request, 'Upload-Length') : undefined
    if (length === undefined) return undefined
    const upload = await findUpload(db, ownerId, uploadId)
    if (upload?.size === length) return undefined
    checkSize(upload?.is_partial ? { ...policy, minSize: 0 } : policy, length)
    if (upload && upload.size !== null) throw ERRORS.INVALID_LENGTH
    return length
  }

  /** A creation that is refused with the bytes that came with it: nobody would know of its upload. */
  async function withdraw({
    incoming,
    response,
    uploadId,
    baseUrl,
    onReceived,
  }: UploadRequest): Promise<void> {
    const context = uploadRequest(incoming, response, { uploadId, baseUrl, onReceived })
    await withAppendContext(context, async () => {
      const lock = locker.newLock(uploadId)
      await lock.lock(AbortSignal.timeout(LEASE_DRAIN_MS), () => {})
      try {
        await options.store.remove(uploadId)
      } finally {
        await lock.unlock()
      }
    })
  }

  async function declareLength(length: number, to: number): Promise<void> {
    if (to > length) throw new Problem('invalid-header', 'Upload-Length is smaller than what has been sent.')
    await options.store.declareUploadLength(runningRequest().uploadId, length)
  }

  /** What the package does not know of an upload, or does not say. */
  function describe(request: Request, response: Response, upload: UploadRow): void {
    if (request.method === 'HEAD') {
      if (upload.metadata_header !== null) response.set('Upload-Metadata', upload.metadata_header)
      if (upload.concat !== null) response.set('Upload-Concat', upload.concat)
      // tus 1.0 § concatenation: before that it would mean nothing.
      if (isFinal(upload) && upload.state === 'open') response.removeHeader('Upload-Offset')
    } else if (upload.state === 'received') {
      response.removeHeader('Upload-Expires')
      response.set(postFinish(bus, upload))
    } else {
      response.set('Upload-Expires', upload.expires_at.toUTCString())
    }
  }
}

/** The headers of the package's answer, but for CORS, which the app has settled for every route alike. */
function headersOf(answer: globalThis.Response): Record<string, string> {
  const headers = Object.fromEntries(answer.headers)
  for (const name of Object.keys(headers)) if (name.startsWith('access-control-')) delete headers[name]
  return headers
}

/**
 * tus 1.0 § creation-with-upload: the upload was created, and has what could be kept of the bytes that came with
 * it. A client that were refused could not know it, and would create another with every try.
 */
function answerCreation(response: Response, upload: UploadRow, location: string): void {
  response
    .status(201)
    .set({
      Location: location,
      'Upload-Offset': String(upload.offset),
      'Upload-Expires': upload.expires_at.toUTCString(),
    })
    .end()
}

/** The request itself is at fault, and not its connection. */
const isRefusal = (failure: unknown): boolean =>
  failure instanceof DigestMismatch || failure instanceof Problem || isTooLong(failure)

const isStorageFault = (failure: unknown): boolean =>
  failure instanceof StorageFull || failure instanceof StorageAway
