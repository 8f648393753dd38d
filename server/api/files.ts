import type { NextFunction, Request, Response, Router } from 'express'
import { checkSize } from '../../hooks/pre-create.ts'
import { hasEnded } from '../../ledger/expiry.ts'
import { type MediaId, newUploadId, parseUploadId, type UploadId } from '../../ledger/ids.ts'
import { principalOf } from '../auth/authenticate.ts'
import { discardBody } from '../http/drain.ts'
import { notFound, Problem } from '../http/errors.ts'
import { holdHeadUntilAvailable } from '../http/head-answers.ts'
import { problemOf } from '../http/problem-renderer.ts'
import { strictRouter } from '../http/routing.ts'
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
import {
  applyMethodOverride,
  checkVersion,
  readAppend,
  readCreation,
  TUS_VERSION,
} from '../uploads/tus/request-checks.ts'
import { tusRequests } from '../uploads/tus/tus-requests.ts'

export type FilesRouteOptions = ProtocolOptions & {
  engine: UploadEngine
  /** The address of a media item's content; undefined while it is not ready. Fails with `not-found`. */
  contentAddress: (mediaId: MediaId, response: Response) => Promise<string | undefined>
}

const ALLOWED = { collection: 'POST, OPTIONS', upload: 'GET, HEAD, PATCH, DELETE, OPTIONS' }
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
 * Uploads by tus 1.0 or by the IETF draft, as the headers of a request say. Behind `authenticate`, except for OPTIONS.
 */
export function filesRoutes({ engine, contentAddress, ...wayIn }: FilesRouteOptions): Router {
  const { policy } = engine
  const tus = tusRequests(engine, wayIn)
  const draft = draftRequests(engine, wayIn)
  const router = strictRouter()

  router.options(['/', '/:id'], (_request, response) => {
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
  })

  router.use((request, _response, next) => {
    applyMethodOverride(request)
    next()
  })

  router.post('/', async (request, response) => {
    if (speaksDraft(request))
      return await admitted(request, response, () => draft.create(request, response, newUploadId()))
    speakTus(request, response)
    const concat = request.get('upload-concat')
    const parsed = concat === undefined ? undefined : parseConcat(concat, wayIn.path)
    if (concat !== undefined && parsed?.kind === 'final') {
      return await createFinalUpload(engine, wayIn, request, response, {
        concat,
        partials: parsed.partials,
      })
    }
    const declared = readCreation(request)
    checkSize(parsed ? { ...policy, minSize: 0 } : policy, declared.size)
    await admitted(request, response, () => tus.create(request, response, newUploadId(), declared))
  })

  router.all('/', (request) => refuseMethod(request, ALLOWED.collection))

  router.all('/:id', async (request, response) => {
    const uploadId = idOf(request)
    const isDraft = speaksDraft(request) || (await isOfDraft(request, response, uploadId))
    if (request.method === 'GET' && !isDraft) return await redirectToContent(response, uploadId)
    if (!isDraft) speakTus(request, response)
    switch (request.method) {
      case 'PATCH': {
        if (isDraft) return await admitted(request, response, () => draft.append(request, response, uploadId))
        const length = readAppend(request)
        return await admitted(request, response, () => tus.append(request, response, uploadId, length))
      }
      case 'HEAD':
      case 'GET':
        if (isDraft) return await draft.offset(request, response, uploadId)
        return await holdHeadUntilAvailable(request, response, {
          answer: () => tus.offset(request, response, uploadId),
          isUnavailable,
          check: () => engine.find({ ownerId: principalOf(response).ownerId, uploadId }),
        })
      case 'DELETE':
        return await (isDraft ? draft : tus).cancel(request, response, uploadId)
      default:
        refuseMethod(request, ALLOWED.upload)
    }
  })

  // Policy may refuse a request before its protocol is called.
  router.use((error: unknown, request: Request, response: Response, next: NextFunction) => {
    const problem = uploadProblem(error)
    // Gigabytes may be left of a rejected file.
    if (isVerdict(problem) && !request.complete) {
      response.set('Connection', 'close')
      response.locals.lingerBeforeClose = () => discardBody(request)
    }
    next(problem)
  })

  /** Admits requests with bytes up to the limit of the node, before they do anything. */
  async function admitted(request: Request, response: Response, work: () => Promise<void>): Promise<void> {
    if (!hasBody(request)) return await work()
    await engine.admit(principalOf(response).ownerId, work)
  }

  /** The draft has requests without headers of its own: then the upload decides the protocol. */
  async function isOfDraft(request: Request, response: Response, uploadId: UploadId): Promise<boolean> {
    if (request.get('tus-resumable') !== undefined || !['HEAD', 'DELETE'].includes(request.method))
      return false
    const upload = await engine.find({ ownerId: principalOf(response).ownerId, uploadId })
    return upload?.protocol.startsWith('ietf') ?? false
  }

  /** GET as in tusd: the file, once it is ready. */
  async function redirectToContent(response: Response, uploadId: UploadId): Promise<void> {
    const upload = await engine.find({ ownerId: principalOf(response).ownerId, uploadId })
    if (!upload) throw notFound()
    if (hasEnded(upload)) throw gone(upload)
    const address = upload.media_id && (await contentAddress(upload.media_id, response))
    if (!address) throw new Problem('not-ready', 'The file of this upload is not ready yet.')
    response.status(303).set({ Location: address, 'Cache-Control': 'no-store' }).end()
  }

  return router
}

/** From here on the request is one of tus 1.0, and so is the answer, errors included. */
function speakTus(request: Request, response: Response): void {
  response.set('Tus-Resumable', TUS_VERSION)
  checkVersion(request)
}

function idOf(request: Request<{ id: string }>): UploadId {
  const uploadId = parseUploadId(request.params.id)
  if (!uploadId) throw notFound()
  return uploadId
}

const isUnavailable = (error: unknown): boolean => problemOf(uploadProblem(error)).code === 'unavailable'

const isVerdict = (error: unknown): boolean =>
  error instanceof Problem && (error.code === 'type-not-allowed' || error.code === 'content-rejected')

function refuseMethod(request: Request, allow: string): never {
  throw new Problem('method-not-allowed', `The method ${request.method} is not allowed for this resource.`, {
    headers: { Allow: allow },
  })
}
