import { type Request, type RequestHandler, type Response, type Router, raw } from 'express'
import { Webhook } from 'standardwebhooks'
import { z } from 'zod'
import { recordAnalysis } from '../../ledger/analyses.ts'
import { AnalysisReport } from '../../ledger/analysis-report.ts'
import type { Bus } from '../../ledger/bus.ts'
import type { Ledger } from '../../ledger/database.ts'
import type { DueMedia, Enqueue } from '../../ledger/due-work.ts'
import { parseMediaId } from '../../ledger/ids.ts'
import { principalOf } from '../auth/authenticate.ts'
import { notFound, Problem } from '../http/errors.ts'
import { strictRouter } from '../http/routing.ts'
import { readInput } from './query.ts'

export type AnalysisApiOptions = {
  db: Ledger
  bus: Bus
  /** Verify the signatures of the engine's reports; without any, it needs a token. */
  secrets: readonly string[]
  enqueueProcessing: Enqueue<readonly DueMedia[]>
  authenticate: RequestHandler
}

const MAX_BODY_BYTES = 64 * 1024

/** As in the `callbackUrl`: identifies the request that is answered. */
const AnalysisQuery = z.object({ requestedAt: z.iso.datetime().optional() })

/** A signature covers only the body, so the body must name the media item. */
const SignedReport = AnalysisReport.extend({ mediaId: z.string() })

/** `POST /api/v1/media/:id/analysis`: the report of an analysis engine. */
export function analysisApi(options: AnalysisApiOptions): Router {
  const { db, bus, enqueueProcessing, authenticate } = options
  const signers = options.secrets.map((secret) => new Webhook(secret))
  const router = strictRouter()

  const service: RequestHandler<{ id: string }> = async (request, response, next) => {
    if (isSigned(request)) return next()
    await authenticate(request, response, (error?: unknown) => next(error ?? unlessService(response)))
  }

  router.post(
    '/:id/analysis',
    service,
    raw({ type: () => true, limit: MAX_BODY_BYTES }),
    async (request, response) => {
      const id = parseMediaId(request.params.id)
      const body: unknown = request.body
      const bytes = Buffer.isBuffer(body) ? body : Buffer.alloc(0)
      const report = isSigned(request)
        ? readSigned(bytes, request, signers)
        : readInput(AnalysisReport, parseJson(bytes))
      if (!id) throw notFound()
      const { requestedAt } = readInput(AnalysisQuery, request.query)
      const result = await recordAnalysis(db, id, report, { resume: enqueueProcessing, requestedAt })
      if (result.kind === 'absent') throw notFound()
      if (result.kind === 'contradiction')
        throw new Problem(
          'analysis-conflict',
          'The report belongs to another analysis, or this analysis has already ended with a different result.',
        )
      if (result.kind === 'recorded')
        void bus.publish({ t: 'event', id: result.uploadId, queue: 'processing' })
      response.json(result.analysis)
    },
  )

  return router
}

const isSigned = ({ headers }: Request<{ id: string }>): boolean =>
  headers['webhook-signature'] !== undefined && headers.authorization === undefined

function unlessService(response: Response): Problem | undefined {
  return principalOf(response).scopes.has('service')
    ? undefined
    : new Problem('forbidden', 'The request requires a token with the scope "service".')
}

function readSigned(
  bytes: Buffer,
  { headers, params }: Request<{ id: string }>,
  signers: readonly Webhook[],
): AnalysisReport {
  const signature = Object.fromEntries(
    ['webhook-id', 'webhook-timestamp', 'webhook-signature'].map((name) => [
      name,
      String(headers[name] ?? ''),
    ]),
  )
  if (!signers.some((signer) => isSignedBy(signer, bytes, signature)))
    throw new Problem('token-invalid', 'The signature is invalid or older than five minutes.', {
      headers: { 'WWW-Authenticate': 'Bearer' },
    })
  const report = readInput(SignedReport, parseJson(bytes))
  if (report.mediaId !== params.id)
    throw new Problem('invalid-request', 'mediaId: does not match the media item in the URL')
  return report
}

function isSignedBy(signer: Webhook, bytes: Buffer, signature: Record<string, string>): boolean {
  try {
    signer.verify(bytes, signature, { jsonParse: false })
    return true
  } catch {
    // The caller is not told what was wrong with the signature.
    return false
  }
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch (error) {
    throw new Problem('invalid-request', 'The body is not JSON.', { cause: error })
  }
}
