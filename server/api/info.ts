import type { z } from 'zod'
import type { UploadPolicy } from '../../hooks/pre-create.ts'
import type { Ledger } from '../../ledger/database.ts'
import { readQuota } from '../../ledger/quotas.ts'
import type { Config } from '../config.ts'
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
        types: policy.allowedFormats.map(({ contentType, extensions, kind }) => ({
          contentType,
          extensions: [...extensions],
          kind,
        })),
        minSize: policy.minSize,
        maxSize: policy.maxSize,
        maxDurationSeconds: config.MEDIA_MAX_DURATION / 1000,
        minWidth: config.MEDIA_MIN_WIDTH,
        minHeight: config.MEDIA_MIN_HEIGHT,
        maxWidth: config.MEDIA_MAX_WIDTH,
        maxHeight: config.MEDIA_MAX_HEIGHT,
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
