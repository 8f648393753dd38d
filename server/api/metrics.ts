import type { Router } from 'express'
import { isOriginForm, strictRouter } from '../http/routing.ts'
import type { Metrics } from '../metrics/metrics.ts'

/** `/metrics`, for Prometheus. It asks for no token: there is nothing in it of anybody. */
export function metricsApi(metrics: Metrics): Router {
  const router = strictRouter()
  router.get('/metrics', async (request, response, next) => {
    // A proxy that keeps this path from the outside may not see it in the absolute form.
    if (!isOriginForm(request)) return next()
    const text = await metrics.text()
    response.set({ 'Content-Type': metrics.register.contentType, 'Cache-Control': 'no-store' }).end(text)
  })
  return router
}
