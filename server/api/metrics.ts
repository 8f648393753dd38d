import { Router } from 'express'
import type { Metrics } from '../metrics/metrics.ts'

/** `/metrics`, for Prometheus. It asks for no token: there is nothing in it of anybody. */
export function metricsApi(metrics: Metrics): Router {
  const router = Router()
  router.get('/metrics', async (_request, response) => {
    const text = await metrics.text()
    response.set({ 'Content-Type': metrics.register.contentType, 'Cache-Control': 'no-store' }).end(text)
  })
  return router
}
