import type { Request, Response } from 'express'
import type { UploadId } from '../../ledger/ids.ts'
import { endTurn, inNewOwnerTurn } from '../admission/owner-turns.ts'
import { principalOf } from '../auth/authenticate.ts'
import { CLIENT_GONE } from '../http/client-gone.ts'
import type { UploadCall } from './held.ts'

/** The context of a request for the engine: behind `authenticate`. */
export function callOf(request: Request, response: Response, uploadId: UploadId): UploadCall {
  const { ownerId, attachable, ticket } = principalOf(response)
  return {
    ownerId,
    attachable,
    ticket,
    client: {
      address: request.ip ?? null,
      userAgent: request.get('User-Agent') ?? null,
      origin: request.get('Origin') ?? null,
    },
    uploadId,
    requestId: String(request.id),
    over: overWith(response),
    // Its owner's other requests go on meanwhile.
    onLeaseWait: () => endTurn(response),
    inOwnerTurn: (work) => inNewOwnerTurn(response, work),
  }
}

function overWith(response: Response): AbortSignal {
  if (response.closed) return AbortSignal.abort(CLIENT_GONE)
  const over = new AbortController()
  response.once('close', () => over.abort(CLIENT_GONE))
  return over.signal
}
