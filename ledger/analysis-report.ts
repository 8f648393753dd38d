import { z } from 'zod'

const MAX_DEPTH = 32
const MAX_ESTIMATE_SECONDS = 30 * 86_400

/** Whether Postgres takes a value as jsonb: no NUL, no lone surrogates, limited depth and digits. */
function isStorable(value: unknown, depth = 0): boolean {
  if (depth > MAX_DEPTH) return false
  if (typeof value === 'string') return value.isWellFormed() && !value.includes('\0')
  // Postgres writes out all digits of a number.
  if (typeof value === 'number') return value === 0 || (Math.abs(value) < 1e21 && Math.abs(value) > 1e-21)
  if (typeof value !== 'object' || value === null) return true
  return Object.entries(value).every(([key, item]) => isStorable(key) && isStorable(item, depth + 1))
}

/** An engine's report on a media item, immediate or later. */
export const AnalysisReport = z
  .object({
    analysisId: z.string().min(1).max(200).refine(isStorable),
    status: z.enum(['pending', 'finished', 'failed']),
    estimatedSeconds: z.number().min(0).max(MAX_ESTIMATE_SECONDS).nullish(),
    result: z
      .unknown()
      .refine((value) => isStorable(value), {
        error: 'takes at most 32 levels, no NUL, and numbers between 1e-21 and 1e21',
      })
      .optional(),
    confidence: z.number().min(0).max(1).nullish(),
    verdict: z.enum(['accept', 'reject']).nullish(),
    url: z
      .url({ protocol: /^https?$/ })
      .max(2000)
      .refine(isStorable)
      .nullish(),
  })
  .meta({ id: 'AnalysisReport' })
export type AnalysisReport = z.output<typeof AnalysisReport>
