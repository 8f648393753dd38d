import type { Router } from 'express'
import type { z } from 'zod'
import type { Readiness } from '../health/readiness.ts'
import { strictRouter } from '../http/routing.ts'
import type { Readiness as ReadinessSchema } from './schemas.ts'

/** `/healthz`: the process answers. `/readyz`: 503 where requests should go to another node. */
export function healthApi(readiness: Readiness): Router {
  const router = strictRouter()
  router.get('/healthz', (_request, response) => {
    response.json({ status: 'ok' })
  })
  router.get('/readyz', async (_request, response) => {
    const report: z.output<typeof ReadinessSchema> = await readiness.check()
    const isReady = report.status === 'ready' || report.status === 'degraded'
    response.status(isReady ? 200 : 503).json(report)
  })
  return router
}
