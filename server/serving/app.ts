import { randomUUID } from 'node:crypto'
import cors from 'cors'
import express, { type ErrorRequestHandler, type Express, type RequestHandler } from 'express'
import { pinoHttp } from 'pino-http'
import { OpenDownloads } from '../admission/open-downloads.ts'
import { OwnerTurns, recordArrival } from '../admission/owner-turns.ts'
import { openApiDocument } from '../api/openapi.ts'
import { ROUTES, type Services } from '../api/table.ts'
import { type Authenticate, authenticate } from '../auth/authenticate.ts'
import { withTickets } from '../auth/upload-tickets.ts'
import type { Verify } from '../auth/verifier.ts'
import type { Config } from '../config.ts'
import type { Readiness } from '../health/readiness.ts'
import { type AnswerError, type Deadlines, expectUpload, limitTime } from '../http/deadlines.ts'
import { Drain } from '../http/drain.ts'
import { notFound, Problem } from '../http/errors.ts'
import { limitHeaders } from '../http/header-limit.ts'
import { layer, type Prepare } from '../http/layer.ts'
import { applyMethodOverride } from '../http/method-override.ts'
import { outageOf } from '../http/outages.ts'
import { renderProblem } from '../http/problem-renderer.ts'
import { checkTarget } from '../http/routing.ts'
import { withoutSecrets } from '../http/ticket-path.ts'
import { countRequests } from '../metrics/http-requests.ts'
import type { Log } from '../process/log.ts'
import { accessChecks } from '../routes/access.ts'
import { mount } from '../routes/mount.ts'
import { servePage } from './page.ts'
import { securityHeaders } from './security-headers.ts'

export type AppOptions = Omit<Services, 'description' | 'downloads' | 'openDownloads' | 'turns' | 'views'> & {
  config: Config
  log: Log
  verify: Verify
  deadlines: Deadlines
  /** The origin of redirects to content; undefined where content is sent from here. */
  contentOrigin: string | undefined
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
  'Preference-Applied',
  'Retry-After',
  'ETag',
  'Content-Range',
  'X-Request-Id',
]

/** The HTTP application: common middleware, every route, and the error renderer. */
export function createApp(options: AppOptions): Express {
  const { config, log, links, metrics } = options
  const turns = new OwnerTurns()
  const authenticate = inTurn(turns, withTickets(options.verify, options.db))
  const answerError = problemAnswer(options.readiness)
  const offered: Services = {
    description: { paths: {} },
    ...options,
    turns,
    downloads: config.DOWNLOADS,
    openDownloads: new OpenDownloads(),
    views: {
      links,
      publicMedia: config.PUBLIC_MEDIA,
      cdn: config.CDN_URL === undefined ? undefined : { url: config.CDN_URL, prefix: config.PUBLIC_PREFIX },
    },
  }
  const app = express()
  app.disable('x-powered-by')
  app.enable('case sensitive routing')
  app.enable('strict routing')
  app.set('trust proxy', config.TRUST_PROXY)
  app.set('etag', false)
  const served = ROUTES.filter((route) => route.isServed?.(offered) ?? true)
  app.use(
    layer(
      recordArrival,
      allowListeners,
      ...(metrics ? [countRequests(metrics.register, served)] : []),
      requestLog(log),
      setHeaders(securityHeaders(options.contentOrigin)),
      limitTime(options.deadlines, answerError),
      limitHeaders,
      checkTarget,
    ),
  )
  const allowOrigins = crossOrigin(config)
  app.use('/files', layer(allowOrigins, new Drain().prepare, expectUpload), overrideMethod(authenticate))
  app.use('/api', layer(allowOrigins))
  app.use('/api/v1/media', layer(atItsOwnPath(new Drain().prepare), atItsOwnPath(expectUpload)))

  const admit = accessChecks({
    authenticate,
    db: options.db,
    links,
    secrets: config.ANALYSIS_SECRET ?? [],
    devCode: options.devCode,
    publicMedia: config.PUBLIC_MEDIA,
  })
  mount(app, served, { ...offered, description: openApiDocument(served) }, admit)
  app.use('/api', answerPreflight)
  app.use(['/files', '/api'], async (request, response) => {
    if (request.method !== 'OPTIONS') await authenticate(request, response)
    throw notFound()
  })

  if (options.pageDirectory !== undefined) app.use(servePage(options.pageDirectory, options.addressesOf))
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

function requestLog(log: Log): Prepare {
  const logRequest = pinoHttp({
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
      const { statusCode } = response
      // 501 is what this server does not offer: nothing has failed.
      const hasFailed = statusCode >= 500 && statusCode !== 501
      const level = hasFailed || error ? 'error' : statusCode >= 400 ? 'info' : 'debug'
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
        path: withoutSecrets(String(request.url).split('?', 1)[0] ?? ''),
      }),
      res: (response) => ({ statusCode: response.statusCode }),
    },
  })
  return (request, response) => logRequest(request, response)
}

const setHeaders = (headers: ReadonlyMap<string, string>): Prepare =>
  function setHeadersOfAll(_request, response) {
    for (const [name, value] of headers) response.setHeader(name, value)
  }

/** A dozen parts each wait once for the end of an answer; Node warns of a leak at eleven. */
const allowListeners: Prepare = (_request, response) => void response.setMaxListeners(MAX_LISTENERS)

/** The CORS headers, of preflights as well; the routes end those. */
function crossOrigin({ CORS_ORIGINS }: Pick<Config, 'CORS_ORIGINS'>): Prepare {
  const allow = cors({
    origin: CORS_ORIGINS.includes('*') ? '*' : [...CORS_ORIGINS],
    methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
    // One text: a list would be joined for each answer.
    exposedHeaders: EXPOSED_HEADERS.join(),
    maxAge: 86_400,
    preflightContinue: true,
  })
  return function allowOrigins(request, response) {
    allow(request, response, () => {})
    response.vary('Origin')
  }
}

/** A preflight carries no token. Those of routes are answered with their methods. */
const answerPreflight: RequestHandler = (request, response, next) => {
  if (request.method === 'OPTIONS') response.status(204).end()
  else next()
}

/** For the path of a layer, and not below it. */
const atItsOwnPath =
  (prepare: Prepare): Prepare =>
  (request, response) => {
    if (request.path === '/') prepare(request, response)
  }

/** Requires a token, then waits for the turn of its owner. */
function inTurn(turns: OwnerTurns, verify: Verify): Authenticate {
  const readToken = authenticate(verify)
  return async function authenticateInTurn(request, response, token) {
    const principal = await readToken(request, response, token)
    await turns.enter(request, response, principal.ownerId)
    return principal
  }
}

/** Before the route is found. An invalid method is refused only after the token is checked, as routes do. */
function overrideMethod(authenticate: Authenticate): RequestHandler {
  return function overrideRequestMethod(request, response, next) {
    try {
      applyMethodOverride(request)
    } catch (error) {
      return authenticate(request, response).then(() => next(error), next)
    }
    next()
  }
}

function problemAnswer(readiness: Readiness): AnswerError {
  return function answerError(error, request, response) {
    const outage = outageOf(error instanceof Problem ? error.cause : error)
    if (outage) readiness.noteOutage(outage.dependency)
    renderProblem(error, String(request.id), response)
  }
}
