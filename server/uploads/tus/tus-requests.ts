import type { Request, Response } from 'express'
import { checkSize } from '../../../hooks/pre-create.ts'
import type { UploadId } from '../../../ledger/ids.ts'
import type { UploadRow } from '../../../ledger/uploads.ts'
import { StorageFull, StorageUnavailable } from '../../../storage/store/objects.ts'
import { BodyTooLong } from '../../../storage/store/outcomes.ts'
import { Problem } from '../../http/errors.ts'
import { DigestMismatch } from '../body-digests.ts'
import { callOf } from '../call.ts'
import { LEASE_DRAIN_MS, type UploadEngine } from '../engine.ts'
import { isFinal, notHeld, type UploadCall } from '../held.ts'
import { mediaHeaders } from '../media-headers.ts'
import { bodyOf } from '../request-body.ts'
import type { WayIn } from '../way-in.ts'
import { checksumOf } from './checksum.ts'
import { BodilessRequest, NativeBodyServer } from './native-body.ts'
import { PackageLocker, PackageStore, type Running, running, runThrough } from './package-store.ts'
import { tusProblem } from './problems.ts'
import { byteCountHeader } from './request-checks.ts'

export type HandleTusRequest = (request: Request, response: Response, uploadId: UploadId) => Promise<void>

/**
 * Answers POST, HEAD, PATCH and DELETE of tus 1.0 for one upload: `@tus/server` runs the protocol, the engine stands
 * under it, and what fails is translated once. Fails with a `Problem`, or with what the renderer knows.
 */
export function tusRequests(engine: UploadEngine, { addressOf, countBytes, path }: WayIn): HandleTusRequest {
  const tus = new NativeBodyServer({
    path,
    datastore: new PackageStore(engine),
    locker: new PackageLocker(engine),
    lockDrainTimeout: LEASE_DRAIN_MS,
    maxSize: engine.policy.maxSize,
    getFileIdFromRequest: () => running().held.call.uploadId,
    namingFunction: () => running().held.call.uploadId,
    generateUrl: () => running().address,
    onUploadCreate: async (_request, upload) => {
      await running().create(upload)
      return {}
    },
    onResponseError: (_request, error) => {
      running().failure = error
      return undefined
    },
  })

  return async function handle(request, response, uploadId) {
    const call = callOf(request, response, uploadId)
    const held = notHeld(call)
    const body = bodyOf(request, response, countBytes)
    const checksum = request.method === 'HEAD' ? undefined : checksumOf(request)
    const webRequest = new BodilessRequest(request, response)
    const length = await newLength(request, call)
    // A request that fails its checksum changes nothing: its length is declared behind that, and not by the package.
    const isLate = length !== undefined && checksum !== undefined
    if (request.method === 'PATCH' && (length === undefined || isLate))
      webRequest.headers.delete('upload-length')
    // The address is ours to build, and the package refuses lists in it.
    webRequest.headers.delete('x-forwarded-proto')
    // Ours as well: the package knows no concatenation.
    webRequest.headers.delete('upload-concat')
    // By its presence alone the package would write a body that is not there.
    if (request.method === 'POST' && body.length === 0) webRequest.headers.delete('content-type')
    const through: Running = {
      held,
      isAppend: request.method === 'PATCH',
      onlyCreates: request.method === 'POST' && body.length === 0,
      address: addressOf(request, uploadId),
      failure: undefined,
      async create({ size, metadata }) {
        const concat = request.get('upload-concat') ?? null
        held.upload = await engine.create(call, {
          protocol: 'tus-1.0',
          size: size ?? null,
          metadata: metadata ?? {},
          metadataHeader: request.get('upload-metadata') ?? null,
          concat,
          isPartial: concat !== null,
          digests: null,
          wantedDigest: null,
        })
      },
      receive: async (offset, limits) =>
        await engine.receive(held, body, {
          ...limits,
          offset,
          checks: checksum ? [checksum] : [],
          isAtomic: checksum !== undefined,
          onWhole: isLate ? (to) => declareLength(length, to) : undefined,
        }),
    }
    const declareLength = async (size: number, to: number) => {
      if (to > size) throw new Problem('invalid-header', 'Upload-Length is smaller than what has been sent.')
      await engine.declareLength(held, size, to)
    }

    const answer = await runThrough(through, () => tus.handleWeb(webRequest))
    const { failure } = through
    const { upload } = held
    if (request.method === 'POST' && upload && isStorageFault(failure)) {
      return answerCreation(response, upload, through.address)
    }
    if (request.method === 'POST' && upload && isRefusal(failure)) await engine.withdraw(call)
    if (failure !== undefined) throw tusProblem(failure, held.offset)
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
  async function newLength(request: Request, call: UploadCall): Promise<number | undefined> {
    const length = request.method === 'PATCH' ? byteCountHeader(request, 'Upload-Length') : undefined
    if (length === undefined) return undefined
    const upload = await engine.find(call)
    if (upload?.size === length) return undefined
    checkSize(upload?.is_partial ? { ...engine.policy, minSize: 0 } : engine.policy, length)
    if (upload && upload.size !== null)
      throw new Problem(
        'invalid-header',
        'Upload-Length is already known or smaller than the current offset.',
      )
    return length
  }
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
    response.set(mediaHeaders(upload))
  } else if (upload.state === 'open') {
    response.set('Upload-Expires', upload.expires_at.toUTCString())
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
  failure instanceof DigestMismatch || failure instanceof Problem || failure instanceof BodyTooLong

const isStorageFault = (failure: unknown): boolean =>
  failure instanceof StorageFull || failure instanceof StorageUnavailable
