import type { Request, Response } from 'express'
import { checkSize } from '../../hooks/pre-create.ts'
import { hasEnded } from '../../ledger/expiry.ts'
import { type MediaId, newUploadId, type UploadId } from '../../ledger/ids.ts'
import type { UploadRow } from '../../ledger/uploads.ts'
import { principalOf } from '../auth/authenticate.ts'
import { notFound, Problem } from '../http/errors.ts'
import { holdHeadUntilAvailable } from '../http/head-answers.ts'
import { problemOf } from '../http/problem-renderer.ts'
import type { Param } from '../routes/param.ts'
import type { Call } from '../routes/route.ts'
import type { UploadEngine } from '../uploads/engine.ts'
import { draftRequests } from '../uploads/ietf/draft-requests.ts'
import { speaksDraft } from '../uploads/ietf/fields.ts'
import { limitsOf } from '../uploads/ietf/limits.ts'
import { gone, uploadProblem } from '../uploads/problems.ts'
import type { ProtocolOptions } from '../uploads/protocol-options.ts'
import { hasBody } from '../uploads/request-body.ts'
import { TUS_ALGORITHMS } from '../uploads/tus/checksum.ts'
import { parseConcat } from '../uploads/tus/concat-header.ts'
import { createFinalUpload } from '../uploads/tus/final-uploads.ts'
import { checkVersion, readAppend, readCreation, TUS_VERSION } from '../uploads/tus/request-checks.ts'
import { tusRequests } from '../uploads/tus/tus-requests.ts'

export type UploadRequestsOptions = ProtocolOptions & {
  engine: UploadEngine
  /** The path of a media item's content; undefined while it is not ready. Fails with `not-found`. */
  contentPath: (mediaId: MediaId, response: Response) => Promise<string | undefined>
}

type Create = (call: Pick<Call<'token'>, 'request' | 'response'>) => Promise<void>
type HandleUpload = (call: Call<'token', { id: Param<UploadId> }>) => Promise<void>

export type UploadRequests = ReturnType<typeof uploadRequests>

const EXTENSIONS = [
  'creation',
  'creation-with-upload',
  'creation-defer-length',
  'expiration',
  'checksum',
  'checksum-trailer',
  'termination',
  'concatenation',
  'concatenation-unfinished',
]

/**
 * The handlers of `/files`: by tus 1.0 or by its successor at the IETF, as the headers of a request say. Behind
 * `authenticate`, but for `capabilities`.
 */
export function uploadRequests(options: UploadRequestsOptions) {
  const { engine, contentPath, ...protocol } = options
  const { policy } = engine
  const tus = tusRequests(engine, protocol)
  const draft = draftRequests(engine, protocol)

  function capabilities(response: Response): void {
    response
      .set({
        'Tus-Resumable': TUS_VERSION,
        'Tus-Version': TUS_VERSION,
        'Tus-Extension': EXTENSIONS.join(','),
        'Tus-Checksum-Algorithm': TUS_ALGORITHMS.join(','),
        'Tus-Max-Size': String(policy.maxSize),
        'Upload-Limit': limitsOf(policy),
      })
      .status(204)
      .end()
  }

  const create: Create = async ({ request, response }) => {
    if (speaksDraft(request))
      return await admitted(request, response, () => draft.create(request, response, newUploadId()))
    speakTus(request, response)
    const concat = request.get('upload-concat')
    const parsed = concat === undefined ? undefined : parseConcat(concat, protocol.path)
    if (parsed?.kind === 'final') {
      const { header: concat, partials } = parsed
      return await createFinalUpload(engine, protocol, request, response, { concat, partials })
    }
    const declared = readCreation(request)
    checkSize(parsed ? { ...policy, minSize: 0 } : policy, declared.size)
    await admitted(request, response, () => tus.create(request, response, newUploadId(), declared))
  }

  const append: HandleUpload = async ({ request, response, params: { id } }) => {
    if (speaksDraft(request))
      return await admitted(request, response, () => draft.append(request, response, id))
    speakTus(request, response)
    const length = readAppend(request)
    await admitted(request, response, () => tus.append(request, response, id, length))
  }

  const offset: HandleUpload = async ({ request, response, params: { id } }) => {
    if (await isOfDraft(request, response, id)) return await draft.offset(request, response, id)
    speakTus(request, response)
    await holdHeadUntilAvailable(request, response, {
      answer: () => tus.offset(request, response, id),
      isUnavailable,
      check: () => engine.find({ ownerId: principalOf(response).ownerId, uploadId: id }),
    })
  }

  /** The draft asks by GET for the offset as well, with or without its headers; otherwise it is for the content. */
  const read: HandleUpload = async ({ request, response, params: { id } }) => {
    const isOffset = speaksDraft(request) || (await isOpenInDraft(request, response, id))
    if (isOffset) await draft.offset(request, response, id)
    else await redirectToContent(request, response, id)
  }

  const cancel: HandleUpload = async ({ request, response, params: { id } }) => {
    if (await isOfDraft(request, response, id)) return await draft.cancel(request, response, id)
    speakTus(request, response)
    await tus.cancel(request, response, id)
  }

  /** Admits requests with bytes up to the limit of the node, before they do anything. */
  async function admitted(request: Request, response: Response, work: () => Promise<void>): Promise<void> {
    if (!hasBody(request)) return await work()
    await engine.admit(principalOf(response).ownerId, work)
  }

  /** The draft has requests without headers of its own: then the upload decides the protocol. */
  async function isOfDraft(request: Request, response: Response, uploadId: UploadId): Promise<boolean> {
    if (speaksDraft(request)) return true
    return (await undeclaredDraft(request, response, uploadId)) !== undefined
  }

  /** Whether an upload of the draft is unfinished, for a request without headers of a protocol. */
  async function isOpenInDraft(request: Request, response: Response, uploadId: UploadId): Promise<boolean> {
    const upload = await undeclaredDraft(request, response, uploadId)
    return upload?.state === 'open' && !hasEnded(upload)
  }

  /** The upload of the draft that a request without headers of a protocol asks for. */
  async function undeclaredDraft(
    request: Request,
    response: Response,
    uploadId: UploadId,
  ): Promise<UploadRow | undefined> {
    if (request.get('tus-resumable') !== undefined) return undefined
    const upload = await engine.find({ ownerId: principalOf(response).ownerId, uploadId })
    return upload?.protocol.startsWith('ietf') ? upload : undefined
  }

  /** GET as in tusd: the file, once it is ready. */
  async function redirectToContent(request: Request, response: Response, uploadId: UploadId): Promise<void> {
    const { ownerId, ticket } = principalOf(response)
    if (ticket) throw new Problem('forbidden', 'An upload ticket does not read files.')
    const upload = await engine.find({ ownerId, uploadId })
    if (!upload) throw notFound()
    if (hasEnded(upload)) throw gone(upload)
    const path = upload.media_id && (await contentPath(upload.media_id, response))
    if (!path) throw new Problem('not-ready', 'The file of this upload is not ready yet.')
    const address = protocol.addressesOf(request).reference(path)
    response.status(303).set({ Location: address, 'Cache-Control': 'no-store' }).end()
  }

  return {
    capabilities,
    create: translated(create),
    append: translated(append),
    offset: translated(offset),
    read: translated(read),
    cancel: translated(cancel),
  }
}

/** The handler, failing with what its client may see. Policy also refuses before a protocol is reached. */
function translated<C extends Parameters<Create>[0]>(
  handle: (call: C) => Promise<void>,
): (call: C) => Promise<void> {
  return async function handleTranslated(call) {
    const { request, response } = call
    try {
      await handle(call)
    } catch (error) {
      const problem = uploadProblem(error)
      // Gigabytes may be left of a rejected file.
      if (isVerdict(problem) && !request.complete) response.set('Connection', 'close')
      throw problem
    }
  }
}

/** From here on the request is one of tus 1.0, and so is the answer, errors included. */
function speakTus(request: Request, response: Response): void {
  response.set('Tus-Resumable', TUS_VERSION)
  checkVersion(request)
}

const isUnavailable = (error: unknown): boolean => problemOf(uploadProblem(error)).code === 'unavailable'

const isVerdict = (error: unknown): boolean =>
  error instanceof Problem && (error.code === 'type-not-allowed' || error.code === 'content-rejected')
