import type { Request, Response } from 'express'
import { ContentRefused } from '../../content/verdict.ts'
import { inspectContent } from '../../hooks/pre-append.ts'
import type { UploadId } from '../../ledger/ids.ts'
import { type AppendContext, appendContext } from '../../storage/store/append-context.ts'
import { endTurn, inTurnAgain } from '../admission/owner-turns.ts'
import { principalOf } from '../auth/authenticate.ts'
import type { Principal } from '../auth/verifier.ts'
import { CLIENT_GONE } from '../http/client-gone.ts'
import { continueNow } from '../http/expect-continue.ts'
import { type BodyLimits, Interrupted, requestBody } from './request-body.ts'
import { declaredBodyLength } from './request-checks.ts'
import type { UploadEndpointOptions } from './upload-endpoint.ts'

/** Something that a body is compared with when all of it is there. */
export type BodyCheck = { update(chunk: Uint8Array): void; check(): void }

/** What one request to an upload knows, beside what the store needs. */
export type UploadRequest = AppendContext & {
  readonly principal: Principal
  /** Of the address, or as chosen for a creation. */
  readonly uploadId: UploadId
  /** What an address of an upload begins with; empty for one that is relative to the server's root. */
  readonly baseUrl: string
  readonly incoming: Request
  readonly response: Response
  readonly bodyChecks: BodyCheck[]
  /** Called when all of the body is there and has passed its checks, with the offset behind it. */
  readonly onWhole: ((to: number) => Promise<void>) | undefined
  failure: unknown
}

export type UploadRequestOptions = Pick<UploadRequest, 'uploadId' | 'baseUrl' | 'onReceived'> &
  Partial<
    Pick<UploadRequest, 'isAppend' | 'isAtomic' | 'completes' | 'bodyChecks' | 'onWhole' | 'onCommitted'>
  >

export function uploadRequest(
  incoming: Request,
  response: Response,
  options: UploadRequestOptions,
): UploadRequest {
  const principal = principalOf(response)
  const { bodyChecks = [] } = options
  return {
    isAppend: false,
    isAtomic: false,
    completes: true,
    onWhole: undefined,
    onCommitted: undefined,
    ...options,
    bodyChecks,
    principal,
    ownerId: principal.ownerId,
    requestId: String(incoming.id),
    over: overWith(response),
    bodyLength: declaredBodyLength(incoming),
    incoming,
    response,
    // Its owner's other requests are not held up by that.
    onLeaseWait: () => endTurn(response),
    inTurn: (work) => inTurnAgain(response, work),
    lease: undefined,
    upload: undefined,
    failure: undefined,
  }
}

function overWith(response: Response): AbortSignal {
  if (response.closed) return AbortSignal.abort(CLIENT_GONE)
  const over = new AbortController()
  response.once('close', () => over.abort(CLIENT_GONE))
  return over.signal
}

/** The request that runs. Calling this outside of one is a bug. */
export function runningRequest(): UploadRequest {
  const context = appendContext()
  if (!('incoming' in context)) throw new Error('not a request to an upload')
  return context as UploadRequest
}

/**
 * The bytes that the running request brings, on their way through everything that looks at them. Its client is
 * asked for them now, if it waits for that.
 */
export function receivedBody(
  { content: policy, countBytes }: Pick<UploadEndpointOptions, 'content' | 'countBytes'>,
  limits: BodyLimits,
): AsyncIterable<Uint8Array> {
  const request = runningRequest()
  const { incoming, response, upload } = request
  endTurn(response)
  continueNow(response)
  const bytes = requestBody(incoming, limits, countBytes)
  const whole = request.bodyChecks.length > 0 || request.onWhole ? checked(bytes, request, limits) : bytes
  const isInspected = upload && upload.offset === 0 && upload.state === 'open' && !upload.is_partial
  if (!isInspected) return whole
  return request.isAtomic
    ? inspectChecked(whole, (source) => inspectContent(source, upload, policy))
    : inspectContent(whole, upload, policy)
}

/** What was damaged on its way is no evidence: a verdict on bytes with a digest waits until that is right. */
async function* inspectChecked(
  whole: AsyncIterable<Uint8Array>,
  inspect: (source: AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const iterator = whole[Symbol.asyncIterator]()
  try {
    // Without a way to end it from there: its end is where the digest is compared.
    yield* inspect({ [Symbol.asyncIterator]: () => ({ next: () => iterator.next() }) })
  } catch (error) {
    if (error instanceof ContentRefused) while (!(await iterator.next()).done);
    throw error
  } finally {
    await iterator.return?.()
  }
}

/** Compares a body when all of it is there. One that was cut off is none to compare: it fails with `Interrupted`. */
async function* checked(
  source: AsyncIterable<Uint8Array>,
  { bodyChecks, incoming, onWhole, upload }: UploadRequest,
  { signal }: BodyLimits,
): AsyncGenerator<Uint8Array> {
  let to = upload?.offset ?? 0
  for await (const chunk of source) {
    for (const check of bodyChecks) check.update(chunk)
    to += chunk.byteLength
    yield chunk
  }
  if (signal.aborted || !incoming.complete) throw new Interrupted()
  for (const check of bodyChecks) check.check()
  await onWhole?.(to)
}
