import express from 'express'
import { metricsRoutes } from '../api/metrics.ts'
import { DEADLINES, limitTime } from '../http/deadlines.ts'
import { notFound } from '../http/errors.ts'
import { layer } from '../http/layer.ts'
import { createListener, listen } from '../http/listener.ts'
import { renderProblem } from '../http/problem-renderer.ts'
import { checkTarget } from '../http/routing.ts'
import type { Metrics } from '../metrics/metrics.ts'
import type { Log } from '../process/log.ts'
import { mount } from '../routes/mount.ts'

/** Prometheus needs one or two. */
const MAX_CONNECTIONS = 64
const MAX_HEADER_BYTES = 16 * 1024
const SILENCE_MS = 30_000

export type MetricsServer = { port: number; close(): Promise<void> }

/** Serves only `/metrics` on a port of its own, which a firewall can protect. */
export async function startMetricsServer(options: {
  metrics: Metrics
  host: string
  port: number
  log: Log
}): Promise<MetricsServer> {
  const { metrics, log } = options
  const answerError = (error: unknown, response: express.Response) => {
    renderProblem(error, '', response)
    // There is no request log here.
    if (response.err) log.error({ err: response.err }, 'metrics could not be served')
  }
  const app = express()
  app.disable('x-powered-by')
  app.enable('case sensitive routing')
  app.enable('strict routing')
  app.use(
    layer(
      limitTime(DEADLINES, (error, _request, response) => answerError(error, response)),
      checkTarget,
    ),
  )
  mount(app, metricsRoutes, { metrics, config: { METRICS_PORT: options.port } }, async () => ({}))
  app.use(() => {
    throw notFound()
  })
  const handleError: express.ErrorRequestHandler = (error, _request, response, _next) =>
    answerError(error, response)
  app.use(handleError)
  const server = createListener(app, {
    deadlines: DEADLINES,
    maxHeaderBytes: MAX_HEADER_BYTES,
    maxConnections: MAX_CONNECTIONS,
    silenceMs: SILENCE_MS,
    log,
    onRefused: () => {},
  })
  const port = await listen(server, options.port, options.host)
  log.info({ port }, 'metrics are served on a separate port')
  return {
    port,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
    },
  }
}
