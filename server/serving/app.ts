import { randomUUID } from 'node:crypto'
import cors from 'cors'
import express, { type ErrorRequestHandler, type Express, type RequestHandler } from 'express'
import helmet from 'helmet'
import { pinoHttp } from 'pino-http'
import type { UploadPolicy } from '../../hooks/pre-create.ts'
import type { Bus } from '../../ledger/bus.ts'
import type { Ledger } from '../../ledger/database.ts'
import type { DueMedia, Enqueue } from '../../ledger/due-work.ts'
import type { EndLog } from '../../ledger/end-log.ts'
import type { UploadId } from '../../ledger/ids.ts'
import type { Storage } from '../../storage/storage.ts'
import { OpenDownloads } from '../admission/open-downloads.ts'
import { OwnerTurns, recordArrival } from '../admission/owner-turns.ts'
import { analysisApi } from '../api/analysis.ts'
import { devApi } from '../api/dev.ts'
import { eventsApi } from '../api/events.ts'
import { healthApi } from '../api/health.ts'
import { infoApi } from '../api/info.ts'
import { mediaApi } from '../api/media.ts'
import { metricsApi } from '../api/metrics.ts'
import { openApiDocument } from '../api/openapi.ts'
import { uploadsApi } from '../api/uploads.ts'
import { webhooksApi } from '../api/webhooks.ts'
import { authenticate } from '../auth/authenticate.ts'
import type { ContentLinks } from '../auth/content-links.ts'
import type { Verify } from '../auth/verifier.ts'
import type { Config } from '../config.ts'
import type { EventStreams } from '../events/event-streams.ts'
import type { ProgressBoard } from '../events/progress-board.ts'
import type { Readiness } from '../health/readiness.ts'
import { type AnswerError, type Deadlines, expectUpload, limitTime } from '../http/deadlines.ts'
import { drainAfterwards } from '../http/drain.ts'
import { notFound, Problem } from '../http/errors.ts'
import { limitHeaders } from '../http/header-limit.ts'
import { outageOf } from '../http/outages.ts'
import { renderProblem } from '../http/problem-renderer.ts'
import { checkTarget } from '../http/routing.ts'
import { countRequests } from '../metrics/http-requests.ts'
import type { Metrics } from '../metrics/metrics.ts'
import type { Log } from '../process/log.ts'

export type AppOptions = {
  config: Config
  log: Log
  db: Ledger
  bus: Bus
  storage: Storage
  verify: Verify
  links: ContentLinks
  board: ProgressBoard
  streams: EventStreams
  readiness: Readiness
  /** Undefined with `METRICS=off`. */
  metrics: Metrics | undefined
  policy: UploadPolicy
  enqueueRemoval: Enqueue<UploadId>
  ends: EndLog
  enqueueProcessing: Enqueue<readonly DueMedia[]>
  files: RequestHandler
  deadlines: Deadlines
  /** The origin of redirects to content; undefined where content is sent from here. */
  contentOrigin: string | undefined
  /** The code for development tokens, as printed by this start; undefined without them. */
  devCode: string | undefined
  /** The built web page; undefined where there is none. */
  pageDirectory: string | undefined
}

const MAX_LISTENERS = 30

const EXPOSED_HEADERS = [
  'Location',
  'Upload-Offset',
  'Upload-Length',
  'Upload-Expires',
  'Upload-Metadata',
  'Upload-Defer-Length',
  'Upload-Concat',
  'Upload-Media-Id',
  'Upload-Reject-Reason',
  'Upload-Complete',
  'Upload-Limit',
  'Link',
  'Tus-Resumable',
  'Tus-Version',
  'Tus-Extension',
  'Tus-Max-Size',
  'Tus-Checksum-Algorithm',
  'Repr-Digest',
  'Retry-After',
  'ETag',
  'Content-Range',
  'X-Request-Id',
]

/** The HTTP application: common middleware, every route, and the error renderer. */
export function createApp(options: AppOptions): Express {
  const { config, log, db, bus, storage, links, metrics, devCode } = options
  const turns = new OwnerTurns()
  const requireToken = turns.after(authenticate(options.verify))
  const answerError = problemAnswer(options.readiness)
  const app = express()
  app.disable('x-powered-by')
  app.enable('case sensitive routing')
  app.enable('strict routing')
  app.set('trust proxy', config.TRUST_PROXY)
  app.set('etag', false)
  app.use(recordArrival, (_request, response, next) => {
    // A dozen parts each wait for the end of a response; Node warns of a leak at eleven.
    response.setMaxListeners(MAX_LISTENERS)
    next()
  })

  const servesMetrics = metrics !== undefined && config.METRICS_PORT === undefined
  const description = openApiDocument({ hasMetrics: servesMetrics })
  const counted = { ...description.paths, ...(devCode === undefined ? {} : { '/dev/token': { post: {} } }) }
  if (metrics) app.use(countRequests(metrics.register, counted))
  app.use(requestLog(log))
  app.use(securityHeaders(options.contentOrigin))
  app.use(limitTime(options.deadlines, answerError), limitHeaders, checkTarget)
  app.use(healthApi(options.readiness))
  if (servesMetrics) app.use(metricsApi(metrics))
  app.get('/openapi.json', (_request, response) => void response.json(description))
  if (devCode !== undefined) app.use('/dev', devApi(config, devCode))

  app.use(
    ['/files', '/api'],
    cors({
      origin: config.CORS_ORIGINS.includes('*') ? '*' : [...config.CORS_ORIGINS],
      methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
      exposedHeaders: EXPOSED_HEADERS,
      maxAge: 86_400,
      // tus has an OPTIONS of its own, which answers preflights as well.
      preflightContinue: true,
    }),
    varyByOrigin,
  )
  app.use('/files', drainAfterwards, expectUpload)
  // Preflights carry no token, and capabilities are public.
  app.use('/files', (request, response, next) =>
    request.method === 'OPTIONS' ? next() : requireToken(request, response, next),
  )
  app.use('/files', options.files)

  app.options('/api/{*path}', (_request, response) => void response.status(204).end())
  app.use(
    '/api/v1/media',
    analysisApi({
      db,
      bus,
      secrets: config.ANALYSIS_SECRET ?? [],
      enqueueProcessing: options.enqueueProcessing,
      authenticate: requireToken,
    }),
    mediaApi({
      db,
      bus,
      storage,
      openDownloads: new OpenDownloads(),
      turns,
      downloads: config.DOWNLOADS,
      links,
      publicUrl: config.PUBLIC_URL,
      cdn: config.CDN_URL === undefined ? undefined : { url: config.CDN_URL, prefix: config.PUBLIC_PREFIX },
      enqueueRemoval: options.enqueueRemoval,
      ends: options.ends,
      enqueueProcessing: options.enqueueProcessing,
      authenticate: requireToken,
    }),
  )
  // Before the others, as streams also accept a ticket.
  app.use('/api/v1', eventsApi({ db, streams: options.streams, config, authenticate: requireToken }))
  app.use('/api', requireToken)
  app.use('/api/v1/uploads', uploadsApi({ db, board: options.board }))
  app.use('/api/v1/webhooks', webhooksApi({ db, bus }))
  app.use('/api/v1', infoApi({ db, policy: options.policy, config }))

  if (options.pageDirectory !== undefined)
    app.use(express.static(options.pageDirectory, { index: 'index.html', redirect: false }))
  app.use(() => {
    throw notFound()
  })
  const handleError: ErrorRequestHandler = (error, request, response, _next) =>
    answerError(error, request, response)
  app.use(handleError)
  return app
}

/** Polled by balancers. Their answers of 503 are not failed requests. */
const PROBES = new Set(['/healthz', '/readyz'])

function requestLog(log: Log): RequestHandler {
  return pinoHttp({
    logger: log,
    // A client's own id could be anything, and two requests could share it.
    genReqId: (_request, response) => {
      const id = randomUUID()
      response.setHeader('X-Request-Id', id)
      return id
    },
    customLogLevel: (request, response, error) => {
      // Probes ask every few seconds: changes are logged elsewhere.
      if (PROBES.has(String(request.url).split('?', 1)[0] ?? '')) return 'debug'
      const level =
        response.statusCode >= 500 || error ? 'error' : response.statusCode >= 400 ? 'info' : 'debug'
      // Do not prepare a line that is not written.
      return log.isLevelEnabled(level) ? level : 'silent'
    },
    // Not as a property of the request's own log, which would be created for each request.
    customSuccessObject: ({ id }, _response, line) => ({ ...line, requestId: id }),
    customErrorObject: ({ id }, _response, _error, line) => ({ ...line, requestId: id }),
    serializers: {
      // Without headers and query, which contain secrets.
      req: (request) => ({
        id: request.id,
        method: request.method,
        path: String(request.url).split('?', 1)[0],
      }),
      res: (response) => ({ statusCode: response.statusCode }),
    },
  })
}

function securityHeaders(contentOrigin: string | undefined): RequestHandler {
  const content = contentOrigin === undefined ? [] : [contentOrigin]
  return helmet({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'self'"],
        imgSrc: ["'self'", 'blob:', 'data:', ...content],
        mediaSrc: ["'self'", 'blob:', ...content],
        objectSrc: ["'none'"],
        baseUri: ["'none'"],
        formAction: ["'self'"],
        frameAncestors: ["'none'"],
      },
    },
    // Plain HTTP on loopback is a normal setup; a proxy that ends TLS sets this header.
    strictTransportSecurity: false,
    crossOriginResourcePolicy: { policy: 'cross-origin' },
  })
}

const varyByOrigin: RequestHandler = (_request, response, next) => {
  response.vary('Origin')
  next()
}

function problemAnswer(readiness: Readiness): AnswerError {
  return function answerError(error, request, response) {
    const outage = outageOf(error instanceof Problem ? error.cause : error)
    if (outage) readiness.noteOutage(outage.dependency)
    renderProblem(error, String(request.id), response)
  }
}
