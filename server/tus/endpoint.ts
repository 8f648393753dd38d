import { type NextFunction, type Request, type Response, Router } from 'express'
import { postFinish } from '../../hooks/post-finish.ts'
import { postTerminate } from '../../hooks/post-terminate.ts'
import { checkSize, nameUpload, type PreCreateOptions, preCreate } from '../../hooks/pre-create.ts'
import type { Bus } from '../../ledger/bus.ts'
import { type OwnerId, parseUploadId, type UploadId } from '../../ledger/ids.ts'
import type { LeaseKeeper } from '../../ledger/lease-keeper.ts'
import { findUpload, type UploadRow } from '../../ledger/uploads.ts'
import { type AppendContext, withAppendContext } from '../../storage/append-context.ts'
import { StorageAway, StorageFull } from '../../storage/objects.ts'
import { principalOf } from '../auth/authenticate.ts'
import type { Principal } from '../auth/verifier.ts'
import { notFound, Problem } from '../errors.ts'
import type { ProgressReporter } from '../events/progress-reporter.ts'
import { LeaseLocker } from './locker.ts'
import { BodilessRequest, NativeBodyServer, type UploadStore } from './native-body.ts'
import {
  applyMethodOverride,
  byteCountHeader,
  checkAppend,
  checkCreation,
  checkVersion,
  declaredBodyLength,
} from './request-checks.ts'
import { translateTusError } from './translate.ts'

export type TusEndpointOptions = {
  store: UploadStore
  leases: LeaseKeeper
  bus: Bus
  preCreate: PreCreateOptions
  progress: ProgressReporter
  /** The address clients use, when it is not the one their requests carry. */
  publicUrl: string | undefined
  path: string
}

/** What one request knows, beside what the store needs. */
type TusRequest = AppendContext & {
  principal: Principal
  /** Of the address, or as chosen for a creation. */
  uploadId: UploadId
  baseUrl: string
  failure: unknown
}

const ALLOWED = { collection: 'POST, OPTIONS', upload: 'HEAD, PATCH, DELETE, OPTIONS' }
/** A request whose holder is asked to let go has this long to store what is on its way. */
const LET_GO_MS = 250

/**
 * tus 1.0 on Express. `@tus/server` runs the protocol; around it stand our checks before it, the ledger
 * under it, and one translation of everything that fails. Behind `authenticate`, but for OPTIONS.
 */
export function createTusEndpoint(options: TusEndpointOptions): Router {
  const { bus, progress } = options
  const { policy } = options.preCreate
  const requests = new WeakMap<object, TusRequest>()
  const contextOf = (request: object): TusRequest => {
    const context = requests.get(request)
    if (!context) throw new Error('not a request of this endpoint')
    return context
  }

  const tus = new NativeBodyServer({
    path: options.path,
    datastore: options.store,
    locker: new LeaseLocker(options.leases),
    lockDrainTimeout: LET_GO_MS,
    maxSize: policy.maxSize,
    getFileIdFromRequest: (request) => contextOf(request).uploadId,
    namingFunction: (request) => contextOf(request).uploadId,
    generateUrl: (request, { id, path }) => `${contextOf(request).baseUrl}${path}/${id}`,
    onUploadCreate: async (request, upload) => {
      const context = contextOf(request)
      context.upload = await preCreate(options.preCreate, {
        id: context.uploadId,
        ownerId: context.ownerId,
        tenantId: context.principal.tenantId,
        protocol: 'tus-1.0',
        size: upload.size ?? null,
        metadata: upload.metadata ?? {},
      })
      return {}
    },
    onUploadFinish: async (request) => {
      const { upload } = contextOf(request)
      return upload ? { headers: postFinish(bus, upload) } : {}
    },
    onResponseError: (request, error) => {
      contextOf(request).failure = error
      return undefined
    },
  })

  async function handle(request: Request, response: Response, uploadId: UploadId): Promise<void> {
    const principal = principalOf(response)
    const from = byteCountHeader(request, 'Upload-Offset') ?? 0
    const context: TusRequest = {
      principal,
      ownerId: principal.ownerId,
      bodyLength: declaredBodyLength(request),
      uploadId,
      baseUrl: options.publicUrl ?? `${request.protocol}://${request.host}`,
      lease: undefined,
      upload: undefined,
      failure: undefined,
      onReceived: (offset, size) => progress.tick(uploadId, offset, size, from),
    }
    const webRequest = new BodilessRequest(request, response)
    if (request.method === 'PATCH') await dropKnownLength(webRequest.headers, principal.ownerId, uploadId)
    // The address is ours to build, and the package refuses lists in it.
    webRequest.headers.delete('x-forwarded-proto')
    // By its presence alone the package would write a body that is not there.
    if (request.method === 'POST' && context.bodyLength === 0) webRequest.headers.delete('content-type')
    requests.set(webRequest, context)
    const answer = await withAppendContext(context, () => tus.handleWeb(webRequest))
    if (request.method === 'POST' && context.upload && isStorageFault(context.failure)) {
      return answerCreation(response, context.upload, `${context.baseUrl}${options.path}/${uploadId}`)
    }
    if (context.failure !== undefined) throw translateTusError(context.failure, context.upload)
    // Of headers that are malformed the package says so by itself, before anything is asked or told.
    if (answer.status >= 400) throw new Problem('invalid-header', (await answer.text()).trim())
    if (request.method === 'POST' && context.upload?.state === 'open') {
      response.set('Upload-Expires', context.upload.expires_at.toUTCString())
    }
    response
      .status(answer.status)
      .set(headersOf(answer))
      .end(await answer.text())
  }

  /** A client that resumes says again what it has declared before; only another length is an error. */
  async function dropKnownLength(headers: Headers, ownerId: OwnerId, uploadId: UploadId): Promise<void> {
    const length = headers.get('upload-length')
    if (length === null) return
    const upload = await findUpload(options.preCreate.db, ownerId, uploadId)
    if (upload && upload.size === Number(length)) headers.delete('upload-length')
  }

  const router = Router()

  router.options(['/', '/:id'], (_request, response) => {
    response
      .set({
        'Tus-Resumable': '1.0.0',
        'Tus-Version': '1.0.0',
        'Tus-Extension': options.store.extensions.join(','),
        'Tus-Max-Size': String(policy.maxSize),
      })
      .status(204)
      .end()
  })

  router.use((request, response, next) => {
    applyMethodOverride(request)
    response.set('Tus-Resumable', '1.0.0')
    checkVersion(request)
    next()
  })

  router.post('/', async (request, response) => {
    checkCreation(request)
    checkSize(policy, byteCountHeader(request, 'Upload-Length') ?? null)
    await handle(request, response, nameUpload())
  })

  router.all('/', (request) => refuseMethod(request, ALLOWED.collection))

  router.all('/:id', async (request, response) => {
    const uploadId = parseUploadId(request.params.id)
    if (!uploadId) throw notFound()
    switch (request.method) {
      case 'PATCH': {
        checkAppend(request)
        checkSize(policy, byteCountHeader(request, 'Upload-Length') ?? null)
        return await handle(request, response, uploadId)
      }
      case 'HEAD':
        return await handle(request, response, uploadId)
      case 'DELETE':
        await handle(request, response, uploadId)
        return postTerminate(bus, uploadId)
      default:
        refuseMethod(request, ALLOWED.upload)
    }
  })

  // Policy also refuses before the package is reached.
  router.use((error: unknown, _request: Request, _response: Response, next: NextFunction) => {
    next(translateTusError(error, undefined))
  })

  return router
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

const isStorageFault = (failure: unknown): boolean =>
  failure instanceof StorageFull || failure instanceof StorageAway

function refuseMethod(request: Request, allow: string): never {
  throw new Problem('method-not-allowed', `${request.method} is not possible here.`, {
    headers: { Allow: allow },
  })
}
