import { z } from 'zod'
import { recordAnalysis } from '../../ledger/analyses.ts'
import { AnalysisReport } from '../../ledger/analysis-report.ts'
import type { Bus } from '../../ledger/bus.ts'
import type { Ledger } from '../../ledger/database.ts'
import type { EnqueueProcessing } from '../../ledger/due-work.ts'
import { notFound, Problem } from '../http/errors.ts'
import { readInput } from '../http/read-input.ts'
import { MEDIA_ID } from '../routes/param.ts'
import { route } from '../routes/route.ts'
import { json } from './answers.ts'
import { ownMedia } from './media-access.ts'
import { Analysis } from './schemas.ts'

export type AnalysisServices = { db: Ledger; bus: Bus; enqueueProcessing: EnqueueProcessing }

const MAX_BODY_BYTES = 64 * 1024

/** As in the `callbackUrl`: identifies the request that is answered. */
const AnalysisQuery = z.object({ requestedAt: z.iso.datetime().optional() })

/** A signature covers only the body, so the body must name the media item. */
const SignedReport = AnalysisReport.extend({ mediaId: z.string() })

/** The reports of an analysis engine. */
export const analysisRoutes = [
  route('post', '/api/v1/media/:id/analysis', 'service-or-signature', {
    params: { id: MEDIA_ID },
    query: AnalysisQuery,
    body: {
      types: ['application/json'],
      schema: AnalysisReport,
      read: { as: 'bytes', maxBytes: MAX_BODY_BYTES },
    },
    answers: { 200: json(Analysis) },
    summary: 'The report of the analysis engine',
    description: 'A signed report also has the `mediaId`.',
    async handle(
      { request, response, who, params, query },
      { db, bus, enqueueProcessing }: AnalysisServices,
    ) {
      // A token acts within its tenant, while the engine's signature is for all.
      if (who) await ownMedia(db, who.ownerId, params.id)
      const body = parseJson(request.body)
      const report = who ? readInput(AnalysisReport, body) : signedReport(body, params.id)
      const result = await recordAnalysis(db, params.id, report, {
        resume: enqueueProcessing,
        requestedAt: query.requestedAt,
      })
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
  }),
]

function signedReport(body: unknown, id: string): AnalysisReport {
  const report = readInput(SignedReport, body)
  if (report.mediaId !== id)
    throw new Problem('invalid-request', 'mediaId: does not match the media item in the URL')
  return report
}

/** `body`: bytes, or anything else for none. */
function parseJson(body: unknown): unknown {
  try {
    return JSON.parse(Buffer.isBuffer(body) ? body.toString('utf8') : '')
  } catch (error) {
    throw new Problem('invalid-request', 'The body is not JSON.', { cause: error })
  }
}
