import type { Request, Response } from 'express'
import { postFinish } from '../../../hooks/post-finish.ts'
import { nameUpload, preCreateFinal } from '../../../hooks/pre-create.ts'
import type { UploadId } from '../../../ledger/ids.ts'
import { principalOf } from '../../auth/authenticate.ts'
import { checkFinalCreation, readMetadata } from '../request-checks.ts'
import type { UploadEndpointOptions } from '../upload-endpoint.ts'

/** tus 1.0 § concatenation: creates an upload of others, which may be unfinished. Fails with `Refusal`. */
export async function createFinalUpload(
  options: UploadEndpointOptions,
  request: Request,
  response: Response,
  final: { concat: string; partials: readonly UploadId[] },
): Promise<void> {
  checkFinalCreation(request)
  const { ownerId, tenantId } = principalOf(response)
  const upload = await preCreateFinal(
    options.preCreate,
    {
      id: nameUpload(),
      ownerId,
      tenantId,
      protocol: 'tus-1.0',
      metadata: readMetadata(request),
      metadataHeader: request.get('upload-metadata') ?? null,
      ...final,
    },
    options.enqueueProcessing,
  )
  response.status(201).set('Location', `${options.baseUrl(request)}${options.path}/${upload.id}`)
  if (upload.state === 'received') {
    response.set(postFinish(options.bus, upload))
  } else {
    // No bytes will tell of it.
    void options.bus.publish({ t: 'event', id: upload.id, queue: null })
    response.set('Upload-Expires', upload.expires_at.toUTCString())
  }
  response.end()
}
