import type { Request, Response } from 'express'
import { newUploadId, type UploadId } from '../../../ledger/ids.ts'
import { callOf } from '../call.ts'
import type { UploadEngine } from '../engine.ts'
import { outcomeHeaders } from '../outcome-headers.ts'
import type { ProtocolOptions } from '../protocol-options.ts'
import { readMetadata } from '../upload-metadata.ts'
import { checkFinalCreation } from './request-checks.ts'

/** tus 1.0 § concatenation: creates a final upload, whose partials may be unfinished. Fails with `Refusal`. */
export async function createFinalUpload(
  engine: UploadEngine,
  { addressesOf, path }: ProtocolOptions,
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
  const addresses = addressesOf(request)
  response
    .status(201)
    .set({ Location: addresses.location(`${path}/${upload.id}`), ...outcomeHeaders(upload, addresses) })
    .end()
}
