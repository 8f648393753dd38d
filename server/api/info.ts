import type { z } from 'zod'
import type { UploadPolicy } from '../../hooks/pre-create.ts'
import type { Ledger } from '../../ledger/database.ts'
import { readQuota } from '../../ledger/quotas.ts'
import type { Config } from '../config.ts'
import { mediaLimitsOf } from '../media-limits.ts'
import { route } from '../routes/route.ts'
import { json } from './answers.ts'
import { Formats, Quota } from './schemas.ts'

export type InfoServices = { db: Ledger; policy: UploadPolicy; config: Config }

/** What this server accepts, and the caller's quota. */
export const infoRoutes = [
  route('get', '/api/v1/formats', 'token', {
    answers: { 200: json(Formats) },
    summary: 'The accepted file types, sizes and durations',
    handle({ response }, { policy, config }: InfoServices) {
      response.json({
        types: policy.accepted.formats.map(({ contentType, extensions, kind }) => ({
          contentType,
          extensions: [...extensions],
          kind,
        })),
        others: [...policy.accepted.others],
        minSize: policy.minSize,
        maxSize: policy.maxSize,
        ...mediaLimitsOf(config),
      } satisfies z.output<typeof Formats>)
    },
  }),
  route('get', '/api/v1/quota', 'token', {
    answers: { 200: json(Quota) },
    summary: 'The limits of the owner, and what is used of them',
    async handle({ response, who }, { db, policy }: InfoServices) {
      const quota: z.output<typeof Quota> = await readQuota(db, who.ownerId, policy.quota)
      response.json(quota)
    },
  }),
]
