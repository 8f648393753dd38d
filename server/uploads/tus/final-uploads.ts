import type { Request, Response } from 'express'
import { newUploadId, type UploadId } from '../../../ledger/ids.ts'
import { callOf } from '../call.ts'
import type { UploadEngine } from '../engine.ts'
import { mediaHeaders } from '../media-headers.ts'
import type { ProtocolOptions } from '../protocol-options.ts'
import { readMetadata } from '../upload-metadata.ts'
import { checkFinalCreation } from './request-checks.ts'

/** tus 1.0 § concatenation: creates a final upload, whose partials may be unfinished. Fails with `Refusal`. */
export async function createFinalUpload(
  engine: UploadEngine,
  { addressOf }: ProtocolOptions,
  request: Request,
  response: Response,
  final: { concat: string; partials: readonly UploadId[] },
): Promise<void> {
  checkFinalCreation(request)
  const call = callOf(request, response, newUploadId())
  const upload = await engine.createFinal(call, {
    protocol: 'tus-1.0',
    ...readMetadata(request),
    ...final,
  })
  response.status(201).set('Location', addressOf(request, upload.id))
  if (upload.state === 'received') response.set(mediaHeaders(upload))
  else response.set('Upload-Expires', upload.expires_at.toUTCString())
  response.end()
}
