import type { Router } from 'express'
import type { z } from 'zod'
import type { UploadPolicy } from '../../hooks/pre-create.ts'
import type { Ledger } from '../../ledger/database.ts'
import { readQuota } from '../../ledger/quotas.ts'
import { principalOf } from '../auth/authenticate.ts'
import type { Config } from '../config.ts'
import { strictRouter } from '../http/routing.ts'
import type { Formats, Quota } from './schemas.ts'

export type InfoApiOptions = { db: Ledger; policy: UploadPolicy; config: Config }

/** What this server accepts, and the caller's quota. */
export function infoApi({ db, policy, config }: InfoApiOptions): Router {
  const router = strictRouter()

  router.get('/formats', (_request, response) => {
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
  })

  router.get('/quota', async (_request, response) => {
    const quota: z.output<typeof Quota> = await readQuota(db, principalOf(response).ownerId, policy.quota)
    response.json(quota)
  })

  return router
}
