import { z } from 'zod'
import { AnalysisReport } from '../../ledger/analysis-report.ts'
import { CATALOGUE } from '../http/errors.ts'
import {
  Analysis,
  Formats,
  Media,
  MediaList,
  MediaListQuery,
  Quota,
  Readiness,
  StreamQuery,
  StreamTicket,
  ThumbnailQuery,
  Upload,
  UploadList,
  UploadListQuery,
  WebhookDelivery,
  WebhookDeliveryList,
  WebhookDeliveryListQuery,
  WebhookDeliveryWithAttempts,
} from './schemas.ts'

type Json = Record<string, unknown>

const CODES = Object.keys(CATALOGUE) as (keyof typeof CATALOGUE)[]

const ProblemDocument = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.number().int(),
    detail: z.string(),
    code: z.enum(CODES),
    requestId: z.string(),
  })
  .meta({ id: 'Problem' })

const NAMED = {
  Upload,
  UploadList,
  Analysis,
  AnalysisReport,
  Media,
  MediaList,
  Formats,
  Quota,
  Readiness,
  StreamTicket,
  WebhookDelivery,
  WebhookDeliveryList,
  WebhookDeliveryWithAttempts,
  Problem: ProblemDocument,
}

/** Routes that depend on the configuration. */
type PublicRoutes = { hasMetrics: boolean }

/**
 * The OpenAPI 3.1 document of every route, from the schemas of the responses; without `POST /dev/token`, which is
 * hidden.
 */
export function openApiDocument(options: PublicRoutes): Json & { paths: Record<string, Json> } {
  return {
    openapi: '3.1.0',
    info: { title: 'Landfall', version: '1', description: 'Resumable uploads, and what becomes of them.' },
    security: [{ bearer: [] }],
    paths: { ...tusPaths(), ...apiPaths(), ...publicPaths(options) },
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
        signature: { type: 'apiKey', in: 'header', name: 'webhook-signature' },
      },
      parameters: {
        id: {
          name: 'id',
          in: 'path',
          required: true,
          schema: { type: 'string', pattern: '^[A-Za-z0-9_-]{22}$' },
        },
        deliveryId: {
          name: 'id',
          in: 'path',
          required: true,
          schema: { type: 'string', pattern: '^msg_[0-9a-f]{32}$' },
        },
        hlsFile: {
          name: 'file',
          in: 'path',
          required: true,
          schema: { type: 'string', pattern: '^[1-6]\\.(m3u8|mp4)$' },
        },
        tusResumable: { name: 'Tus-Resumable', in: 'header', required: true, schema: { const: '1.0.0' } },
      },
      responses: {
        Problem: {
          description: 'An error: its `code` is stable',
          content: { 'application/problem+json': { schema: ref('Problem') } },
        },
      },
      schemas: schemas(),
    },
  }
}

function schemas(): Json {
  const all = z.registry<{ id: string }>()
  for (const [id, schema] of Object.entries(NAMED)) all.add(schema, { id })
  const { schemas } = z.toJSONSchema(all, { uri: (id) => `#/components/schemas/${id}` })
  // Inside a document they have neither a dialect nor an id of their own.
  return Object.fromEntries(Object.entries(schemas).map(([id, { $schema, $id, ...schema }]) => [id, schema]))
}

function tusPaths(): Record<string, Json> {
  const tus = [parameter('tusResumable')]
  const bytes = {
    content: { 'application/offset+octet-stream': { schema: { type: 'string', format: 'binary' } } },
  }
  return {
    '/files': {
      post: operation('Begin an upload (tus 1.0)', empty(201, 'Created; its address is in Location'), {
        parameters: tus,
        requestBody: bytes,
      }),
    },
    '/files/{id}': {
      parameters: [parameter('id')],
      get: operation('The file, once it is ready', empty(303, 'Its content')),
      head: operation('How far an upload is', empty(200, 'Upload-Offset and Upload-Length'), {
        parameters: tus,
      }),
      patch: operation('Append bytes', empty(204, 'Stored; Upload-Offset is the new offset'), {
        parameters: tus,
        requestBody: bytes,
      }),
      delete: operation('Terminate an upload', empty(204, 'Terminated'), { parameters: tus }),
    },
  }
}

function apiPaths(): Record<string, Json> {
  const id = [parameter('id')]
  return {
    '/api/v1/uploads': {
      get: operation('Unfinished uploads', json(UploadList), { parameters: query(UploadListQuery) }),
    },
    '/api/v1/uploads/{id}': { parameters: id, get: operation('An upload', json(Upload)) },
    '/api/v1/uploads/{id}/events': {
      parameters: id,
      get: operation(
        'Server-sent events of an upload',
        body('text/event-stream', 'progress, step and state events'),
        { parameters: query(StreamQuery) },
      ),
    },
    '/api/v1/uploads/{id}/ws': {
      parameters: id,
      get: operation('The same as a WebSocket', empty(101, 'One JSON message a frame'), {
        parameters: query(StreamQuery),
      }),
    },
    '/api/v1/events': {
      get: operation(
        'Server-sent events of all uploads of an owner',
        body('text/event-stream', 'progress, step and state events'),
        { parameters: query(StreamQuery) },
      ),
    },
    '/api/v1/events/ws': {
      get: operation('The same as a WebSocket', empty(101, 'One JSON message a frame'), {
        parameters: query(StreamQuery),
      }),
    },
    '/api/v1/events/tickets': {
      post: operation('A ticket that starts streams for a minute', { 201: json(StreamTicket)[200] }),
    },
    '/api/v1/media': {
      get: operation('Media, newest first', json(MediaList), { parameters: query(MediaListQuery) }),
    },
    '/api/v1/media/{id}': {
      parameters: id,
      get: operation('A media item', json(Media)),
      delete: operation('Delete a media item', empty(204, 'Deleted')),
    },
    '/api/v1/media/{id}/process': {
      parameters: id,
      post: operation('Process a media item again', { 202: json(Media)[200] }),
    },
    '/api/v1/media/{id}/analysis': {
      parameters: id,
      post: operation('What the engine that analyses files has found out', json(Analysis), {
        requestBody: { content: { 'application/json': { schema: ref('AnalysisReport') } } },
        security: [{ bearer: [] }, { signature: [] }],
      }),
    },
    '/api/v1/media/{id}/source': {
      parameters: id,
      get: operation('The bytes, for the engine that was given this link; takes Range', {
        ...body('*/*', 'The bytes'),
        ...REDIRECT,
      }),
    },
    '/api/v1/media/{id}/content': {
      parameters: id,
      get: operation('The bytes; takes Range', { ...body('*/*', 'The bytes'), ...REDIRECT }),
    },
    '/api/v1/media/{id}/thumbnail': {
      parameters: id,
      get: operation(
        'A picture, as WebP or JPEG',
        { ...body('image/*', 'The picture'), ...REDIRECT },
        { parameters: query(ThumbnailQuery) },
      ),
    },
    '/api/v1/media/{id}/storyboard.vtt': {
      parameters: id,
      get: operation('Where in the storyboard each time is', body('text/vtt', 'Cues with #xywh=')),
    },
    '/api/v1/media/{id}/storyboard': {
      parameters: id,
      get: operation('Small pictures of all of a video, in one', {
        ...body('image/jpeg', 'The picture'),
        ...REDIRECT,
      }),
    },
    '/api/v1/media/{id}/waveform': {
      parameters: id,
      get: operation('The peaks of the sound', body('application/json', 'As audiowaveform writes it')),
    },
    '/api/v1/media/{id}/hls.m3u8': {
      parameters: id,
      get: operation('The renditions of a video, for HLS', body(PLAYLIST_TYPE, 'The master playlist')),
    },
    '/api/v1/media/{id}/hls/{file}': {
      parameters: [...id, parameter('hlsFile')],
      get: operation('A rendition: its playlist, or its bytes; these take Range', {
        200: { description: 'What was asked for', content: { [PLAYLIST_TYPE]: {}, 'video/mp4': {} } },
      }),
    },
    '/api/v1/webhooks/deliveries': {
      get: operation('What was told, or is to be, of uploads', json(WebhookDeliveryList), {
        parameters: query(WebhookDeliveryListQuery),
      }),
    },
    '/api/v1/webhooks/deliveries/{id}': {
      parameters: [parameter('deliveryId')],
      get: operation('A delivery and its attempts', json(WebhookDeliveryWithAttempts)),
    },
    '/api/v1/webhooks/deliveries/{id}/replay': {
      parameters: [parameter('deliveryId')],
      post: operation('Send it again, now', { 202: json(WebhookDelivery)[200] }),
    },
    '/api/v1/formats': { get: operation('What is accepted', json(Formats)) },
    '/api/v1/quota': { get: operation('What may be stored, and is', json(Quota)) },
  }
}

function publicPaths({ hasMetrics }: PublicRoutes): Record<string, Json> {
  const open = { security: [] }
  return {
    '/healthz': { get: operation('Whether the process lives', body('application/json', 'It does'), open) },
    '/readyz': {
      get: operation(
        'Whether to send requests to this server',
        { ...json(Readiness), 503: json(Readiness)[200] },
        open,
      ),
    },
    ...(hasMetrics
      ? {
          '/metrics': {
            get: operation('Figures for Prometheus', body('text/plain', 'Its text format'), open),
          },
        }
      : {}),
    '/openapi.json': { get: operation('This document', body('application/json', 'OpenAPI 3.1'), open) },
  }
}

const ref = (name: string) => ({ $ref: `#/components/schemas/${name}` })
const parameter = (name: string) => ({ $ref: `#/components/parameters/${name}` })

function operation(summary: string, responses: Json, more: Json = {}): Json {
  return {
    summary,
    ...more,
    responses: { ...responses, default: { $ref: '#/components/responses/Problem' } },
  }
}

const empty = (status: number, description: string): Json => ({ [status]: { description } })
const body = (mediaType: string, description: string): Json => ({
  200: { description, content: { [mediaType]: {} } },
})

const PLAYLIST_TYPE = 'application/vnd.apple.mpegurl'

/** With `DOWNLOADS=redirect`. */
const REDIRECT = empty(307, 'To a signed address of the storage, good for some minutes')

function json(schema: z.ZodType): { 200: Json } {
  const { id = '' } = schema.meta() ?? {}
  return { 200: { description: id, content: { 'application/json': { schema: ref(id) } } } }
}

/** The members of a query schema, each as a parameter. */
function query(schema: z.ZodObject): Json[] {
  return Object.entries(schema.shape).map(([name, member]) => {
    const { $schema: _, ...description } = z.toJSONSchema(member, { io: 'input' })
    return { name, in: 'query', schema: description }
  })
}
