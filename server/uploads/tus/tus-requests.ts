import type { Request, Response } from 'express'
import { checkSize } from '../../../hooks/pre-create.ts'
import type { UploadId } from '../../../ledger/ids.ts'
import type { UploadRow } from '../../../ledger/uploads.ts'
import { StorageFull, StorageUnavailable } from '../../../storage/store/objects.ts'
import { BodyTooLong } from '../../../storage/store/outcomes.ts'
import { endReadably } from '../../http/close-after-drain.ts'
import { Problem } from '../../http/errors.ts'
import { noting } from '../body.ts'
import { DigestMismatch } from '../body-digests.ts'
import { callOf } from '../call.ts'
import type { UploadEngine } from '../engine.ts'
import { isFinal, notHeld, rowOf, type UploadCall } from '../held.ts'
import { outcomeHeaders } from '../outcome-headers.ts'
import { BodyIdle } from '../outcomes.ts'
import type { ProtocolOptions } from '../protocol-options.ts'
import { bodyOf } from '../request-body.ts'
import { checksumOf } from './checksum.ts'
import { PackageHandlers, type PackageRequest } from './package-handlers.ts'
import { type PackageAnswer, PackageLocker, PackageStore, type Running, running } from './package-store.ts'
import { tusProblem } from './problems.ts'
import type { Declared } from './request-checks.ts'

type Handle = (request: Request, response: Response, uploadId: UploadId) => Promise<void>

/** Answers of tus 1.0. Each fails with a `Problem`, or with what the renderer knows. */
export type TusRequests = {
  /** § creation, § creation-with-upload: an upload under a new id. */
  create: (request: Request, response: Response, uploadId: UploadId, declared: Declared) => Promise<void>
  /** § PATCH. `length`: as the request declares it. */
  append: (
    request: Request,
    response: Response,
    uploadId: UploadId,
    length: number | undefined,
  ) => Promise<void>
  /** § HEAD. */
  offset: Handle
  /** § termination. */
  cancel: Handle
}

const READS = {
  creation: new Set(['upload-length', 'upload-defer-length', 'content-length']),
  creationWithBody: new Set(['upload-length', 'upload-defer-length', 'content-length', 'content-type']),
  append: new Set(['upload-offset', 'content-length', 'content-type']),
  appendWithLength: new Set(['upload-offset', 'content-length', 'content-type', 'upload-length']),
  nothing: new Set<string>(),
}

/** `@tus/server` handles the protocol on top of the engine; errors are translated once. */
export function tusRequests(engine: UploadEngine, protocol: ProtocolOptions): TusRequests {
  const { addressesOf, path } = protocol
  const handlers = new PackageHandlers({
    path,
    datastore: new PackageStore(engine),
    locker: new PackageLocker(engine),
    maxSize: engine.policy.maxSize,
    getFileIdFromRequest: () => running().held.call.uploadId,
    namingFunction: () => running().held.call.uploadId,
    generateUrl: () => running().address,
    onUploadCreate: async () => {
      await running().create()
      return {}
    },
  })

  const create: TusRequests['create'] = async (request, response, uploadId, declared) => {
    const call = callOf(request, response, uploadId)
    const body = noting(bodyOf(request, response, protocol))
    const checks = checksOf(request)
    const isPartial = request.headers['upload-concat'] !== undefined
    const through: Running = {
      ...beginningOf(request, call),
      onlyCreates: body.length === 0,
      async create() {
        through.held.upload = await engine.create(call, {
          protocol: 'tus-1.0',
          ...declared,
          concat: isPartial ? 'partial' : null,
          isPartial,
          digests: null,
          wantedDigest: null,
        })
      },
      receive: (offset, limits) =>
        engine.receive(through.held, body, {
          ...limits,
          ...checks,
          offset,
          // The client is told nothing of an upload whose creation is refused.
          completes: () => !body.wasTooLong,
        }),
    }
    // By the presence of a type alone the package would write a missing body.
    const reads = body.length === 0 ? READS.creation : READS.creationWithBody
    let answer: PackageAnswer
    try {
      answer = await handlers.run(requestOf('POST', request, reads), through)
    } catch (failure) {
      const { upload } = through.held
      if (!upload || !isStorageFault(failure)) {
        // Where it cannot be withdrawn, it expires; the refusal is what the client has to know.
        if (upload && isRefusal(failure)) await engine.withdraw(call).catch(() => {})
        // An idle client can resume what it has created.
        else if (upload && failure instanceof BodyIdle)
          response.set({ Location: through.address, 'Upload-Offset': String(upload.offset) })
        throw tusProblem(failure, through.held.offset)
      }
      // § creation-with-upload: it was created, and has the bytes that could be kept. A refused client would not know
      // of it, and create another with every try.
      answer = {
        status: 201,
        headers: { Location: through.address, 'Upload-Offset': String(upload.offset) },
      }
    }
    send(request, response, answer, through.held.upload)
  }

  const append: TusRequests['append'] = async (request, response, uploadId, declaredLength) => {
    const call = callOf(request, response, uploadId)
    const body = bodyOf(request, response, protocol)
    const checks = checksOf(request)
    const length = declaredLength === undefined ? undefined : await newLength(call, declaredLength)
    // A request with a wrong checksum changes nothing: its length is declared after the check, and not by the package.
    const isLate = length !== undefined && checks.isAtomic
    const declareLength = async (to: number) => {
      if (length === undefined) return
      if (to > length)
        throw new Problem('invalid-header', 'Upload-Length is smaller than what has been sent.')
      await engine.declareLength(through.held, length, to)
    }
    const through: Running = {
      ...beginningOf(request, call),
      isAppend: true,
      receive: (offset, limits) =>
        engine.receive(through.held, body, {
          ...limits,
          ...checks,
          offset,
          onWhole: isLate ? declareLength : undefined,
        }),
    }
    const reads = length === undefined || isLate ? READS.append : READS.appendWithLength
    try {
      const answer = await handlers.run(requestOf('PATCH', request, reads), through)
      send(request, response, answer, through.held.upload)
    } catch (failure) {
      const { offset, upload } = through.held
      if (upload && keepsBytes(failure))
        response.set({
          'Upload-Offset': String(upload.offset),
          ...outcomeHeaders(upload, addressesOf(request)),
        })
      throw tusProblem(failure, offset)
    }
  }

  const offset: Handle = async (request, response, uploadId) => {
    const through = beginningOf(request, callOf(request, response, uploadId))
    const answer = await answerOf(requestOf('HEAD', request, READS.nothing), through)
    const upload = rowOf(through.held)
    send(request, response, { ...answer, headers: described(upload, answer.headers) }, upload)
  }

  const cancel: Handle = async (request, response, uploadId) => {
    const through = beginningOf(request, callOf(request, response, uploadId))
    const answer = await answerOf(requestOf('DELETE', request, READS.nothing), through)
    send(request, response, answer, undefined)
  }

  function beginningOf(request: Request, call: UploadCall): Running {
    const unasked = async () => {
      throw new Error('the package asked for what this request does not do')
    }
    return {
      held: notHeld(call),
      address: addressesOf(request).location(`${path}/${call.uploadId}`),
      isAppend: false,
      onlyCreates: false,
      create: unasked,
      receive: unasked,
      answer: undefined,
    }
  }

  /** Sends the package's answer; `upload`: for what it tells of its outcome. */
  function send(
    request: Request,
    response: Response,
    { status, headers }: PackageAnswer,
    upload: UploadRow | undefined,
  ): void {
    const told = upload ? outcomeHeaders(upload, addressesOf(request)) : {}
    response.statusCode = status
    for (const [name, value] of Object.entries({ ...headers, ...told })) response.setHeader(name, value)
    endReadably(response)
  }

  async function answerOf(request: PackageRequest, through: Running): Promise<PackageAnswer> {
    try {
      return await handlers.run(request, through)
    } catch (failure) {
      throw tusProblem(failure, through.held.offset)
    }
  }

  /**
   * The length that a PATCH declares, where it is new: a resuming client repeats it, and only another length is an
   * error.
   */
  async function newLength(call: UploadCall, length: number): Promise<number | undefined> {
    const upload = await engine.find(call)
    if (upload?.size === length) return undefined
    const policy = engine.policyFor(upload)
    checkSize(upload?.is_partial ? { ...policy, minSize: 0 } : policy, length)
    if (upload && upload.size !== null)
      throw new Problem(
        'invalid-header',
        'Upload-Length is already known or smaller than the current offset.',
      )
    return length
  }

  return { create, append, offset, cancel }
}

const requestOf = (
  method: PackageRequest['method'],
  { headers }: Request,
  reads: PackageRequest['reads'],
): PackageRequest => ({ method, headers, reads })

/** The package's headers of an upload, with what it does not know. */
function described(upload: UploadRow, headers: PackageAnswer['headers']): PackageAnswer['headers'] {
  const { 'upload-metadata': metadata, 'upload-offset': offset, 'content-type': _, ...others } = headers
  const shown: Record<string, string | null | undefined> = {
    'Upload-Metadata': upload.metadata_header ?? metadata,
    'Upload-Concat': upload.concat,
    // § concatenation: before it is complete it has no meaning.
    'Upload-Offset': isFinal(upload) && upload.state === 'open' ? undefined : offset,
  }
  for (const [name, value] of Object.entries(shown)) if (value) others[name] = value
  return others
}

/** A request with a wrong checksum stores no bytes. */
function checksOf(request: Request) {
  const checksum = checksumOf(request)
  return { checks: checksum ? [checksum] : [], isAtomic: checksum !== undefined }
}

/** The request itself is at fault, and not its connection. */
const isRefusal = (failure: unknown): boolean =>
  failure instanceof DigestMismatch || failure instanceof Problem || failure instanceof BodyTooLong

/** A refusal in mid-body, before which bytes may have been kept: the answer tells where the upload is now. */
const keepsBytes = (failure: unknown): boolean =>
  failure instanceof BodyTooLong || failure instanceof BodyIdle

const isStorageFault = (failure: unknown): boolean =>
  failure instanceof StorageFull || failure instanceof StorageUnavailable
