import { Webhook } from 'standardwebhooks'
import { AnalysisReport } from '../../ledger/analysis-report.ts'
import type { MediaRow } from '../../ledger/media.ts'
import { mediaFacts } from '../../ledger/media-facts.ts'
import type { Analysis } from '../../ledger/schema.ts'
import { mediaPath, signedPath } from '../../storage/signed-path.ts'
import { send } from '../../system/outgoing/sender.ts'
import { signedHeaders } from '../../system/outgoing/signature.ts'
import { RetryLater } from '../failures/job-failures.ts'

export type AnalysisOptions = {
  /** In `gate` mode a file is ready only when the engine says so. */
  mode: 'advisory' | 'gate'
  url: string
  /** One signature is sent for each. */
  secrets: readonly string[]
  /** The URL of this server, as the engine reaches it. */
  publicUrl: string
  /** Time from the first request to the result. */
  timeoutMs: number
  /** Signs the address under which the engine reads the file. */
  linkKey: Buffer
}

const REQUEST_MS = 15_000
const MAX_ANSWER_BYTES = 64 * 1024
/** How long the engine can read the file after a request. */
const LINK_SECONDS = 3600

/**
 * Asks the engine about a media item and returns its immediate answer. A repeated request for the same analysis has the
 * same `webhook-id`. Fails with `RetryLater` when the engine is unavailable or its response is not valid.
 */
export async function requestAnalysis(
  options: AnalysisOptions,
  media: MediaRow,
  { requestedAt }: Analysis,
  signal: AbortSignal,
): Promise<AnalysisReport> {
  const signers = options.secrets.map((secret) => new Webhook(secret))
  const body = JSON.stringify(requestOf(options, media, requestedAt))
  const id = `analysis_${media.id}_${Date.parse(requestedAt)}`
  const answer = await send(
    { url: new URL(options.url), headers: signedHeaders(signers, id, body), body },
    // Configured by the operator, and often on the same host.
    {
      allowPrivate: true,
      timeoutMs: REQUEST_MS,
      signal,
      maxBodyBytes: MAX_ANSWER_BYTES,
      maxBodyMs: REQUEST_MS,
    },
  )
  if (answer.error !== null)
    throw new RetryLater(`the analysis engine did not accept the file: ${answer.error}`, {
      afterMs: answer.retryAfterMs,
    })
  return understand(answer.body)
}

function requestOf({ publicUrl, linkKey }: AnalysisOptions, media: MediaRow, requestedAt: string) {
  const expires = Math.floor(Date.now() / 1000) + LINK_SECONDS
  const { analysis: _, ...facts } = mediaFacts(media)
  return {
    type: 'analysis.requested',
    timestamp: new Date().toISOString(),
    data: {
      media: facts,
      sourceUrl: publicUrl + signedPath(linkKey, media.id, 'source', { expires }),
      sourceUrlExpiresAt: new Date(expires * 1000).toISOString(),
      callbackUrl: `${publicUrl}${mediaPath(media.id, 'analysis')}?requestedAt=${requestedAt}`,
    },
  }
}

function understand(body: Buffer | undefined): AnalysisReport {
  if (body === undefined)
    throw new RetryLater('the response of the analysis engine is too large or incomplete')
  try {
    return AnalysisReport.parse(JSON.parse(body.toString('utf8')))
  } catch (error) {
    throw new RetryLater('the response of the analysis engine is not a valid analysis', { cause: error })
  }
}
