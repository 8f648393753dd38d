import type { Config } from '../config.ts'
import { notFound } from '../http/errors.ts'
import type { Metrics } from '../metrics/metrics.ts'
import { route } from '../routes/route.ts'
import { body } from './answers.ts'

export type MetricsServices = {
  /** Undefined with `METRICS=off`. */
  metrics: Metrics | undefined
  config: Pick<Config, 'METRICS_PORT'>
}

/** `/metrics`, for Prometheus. Needs no token: it contains no user data. */
export const metricsRoutes = [
  route('get', '/metrics', 'public', {
    answers: { 200: body('The text format of Prometheus', 'text/plain') },
    summary: 'Figures for Prometheus',
    isServed: ({ metrics, config }: MetricsServices) =>
      metrics !== undefined && config.METRICS_PORT === undefined,
    // A proxy that blocks this path may not recognise it in the absolute form.
    isForOriginForm: true,
    async handle({ response }, { metrics }) {
      if (!metrics) throw notFound()
      const text = await metrics.text()
      response.set({ 'Content-Type': metrics.register.contentType, 'Cache-Control': 'no-store' }).end(text)
    },
  }),
]
