import type { Router } from 'express'
import { isOriginForm, strictRouter } from '../http/routing.ts'
import type { Metrics } from '../metrics/metrics.ts'

/** `/metrics`, for Prometheus. Needs no token: it contains no user data. */
export function metricsApi(metrics: Metrics): Router {
  const router = strictRouter()
  router.get('/metrics', async (request, response, next) => {
    // A proxy that blocks this path may not recognise it in the absolute form.
    if (!isOriginForm(request)) return next()
    const text = await metrics.text()
    response.set({ 'Content-Type': metrics.register.contentType, 'Cache-Control': 'no-store' }).end(text)
  })
  return router
}
