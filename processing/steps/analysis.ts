import { beginAnalysis, recordAnalysis } from '../../ledger/analyses.ts'
import { requestAnalysis } from '../analysis/engine.ts'
import { type Step, SWITCHED_OFF } from '../step/step.ts'

/**
 * Sends the file to an external engine for analysis. The step is done when the engine has taken the file or its time is
 * over; later results come by the API.
 */
export const analysis: Step = {
  name: 'analysis',
  after: ['probe'],
  job: 'analysis',
  skip: (tools) => (tools.analysis ? undefined : SWITCHED_OFF),
  async run({ media, db, analysis: options, notifyListeners, enqueueProcessing, signal }) {
    if (!options) throw new Error('there is no engine to requestAnalysis')
    const begun = await beginAnalysis(db, media.id, options.timeoutMs)
    if (!begun) return { detail: { skipped: 'the media item has ended in the meantime' } }
    // It was asked before, and has answered or has no time left.
    if (begun.status !== 'requested') return { detail: { id: begun.id, status: begun.status } }
    const report = await requestAnalysis(options, media, begun, signal)
    const { requestedAt } = begun
    const { kind } = await recordAnalysis(db, media.id, report, { resume: enqueueProcessing, requestedAt })
    notifyListeners(media.upload_id, 'processing')
    return {
      detail: { id: report.analysisId, status: report.status, ...(kind === 'recorded' ? {} : { kind }) },
    }
  },
}
