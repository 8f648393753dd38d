import { newMediaId, newUploadId } from '../../ledger/ids.ts'
import type { Landfall } from './landfall.ts'
import type { ProblemJson } from './raw-http.ts'

/** Every route that asks for a token, for tests of what holds on all of them. */

export type Route = { method: string; path: string; headers?: Record<string, string>; body?: string }

const TUS = { 'Tus-Resumable': '1.0.0' }

/** Routes that name an upload. */
export const uploadRoutes = (id: string = newUploadId()): Route[] => [
  { method: 'HEAD', path: `/files/${id}`, headers: TUS },
  {
    method: 'PATCH',
    path: `/files/${id}`,
    headers: { ...TUS, 'Upload-Offset': '0', 'Content-Type': 'application/offset+octet-stream' },
    body: 'bytes',
  },
  { method: 'DELETE', path: `/files/${id}`, headers: TUS },
  { method: 'GET', path: `/files/${id}` },
  { method: 'GET', path: `/api/v1/uploads/${id}` },
  { method: 'GET', path: `/api/v1/uploads/${id}/events` },
  { method: 'GET', path: `/api/v1/uploads/${id}/ws` },
]

/** Routes that name a media. */
export const mediaRoutes = (id: string = newMediaId()): Route[] => [
  { method: 'GET', path: `/api/v1/media/${id}` },
  { method: 'GET', path: `/api/v1/media/${id}/content` },
  { method: 'GET', path: `/api/v1/media/${id}/source` },
  { method: 'GET', path: `/api/v1/media/${id}/thumbnail` },
  { method: 'GET', path: `/api/v1/media/${id}/storyboard` },
  { method: 'GET', path: `/api/v1/media/${id}/storyboard.vtt` },
  { method: 'GET', path: `/api/v1/media/${id}/waveform` },
  { method: 'GET', path: `/api/v1/media/${id}/hls.m3u8` },
  { method: 'GET', path: `/api/v1/media/${id}/hls/1.m3u8` },
  { method: 'GET', path: `/api/v1/media/${id}/hls/1.mp4` },
  { method: 'POST', path: `/api/v1/media/${id}/process` },
  { method: 'DELETE', path: `/api/v1/media/${id}` },
]

/** Routes about the caller. */
export const ownRoutes = (): Route[] => [
  { method: 'POST', path: '/files', headers: { ...TUS, 'Upload-Length': '2000' } },
  { method: 'GET', path: '/api/v1/uploads' },
  { method: 'GET', path: '/api/v1/media' },
  { method: 'POST', path: `/api/v1/media/${newMediaId()}/analysis` },
  { method: 'GET', path: '/api/v1/formats' },
  { method: 'GET', path: '/api/v1/quota' },
  { method: 'GET', path: '/api/v1/events' },
  { method: 'GET', path: '/api/v1/events/ws' },
  { method: 'POST', path: '/api/v1/events/tickets' },
  { method: 'GET', path: '/api/v1/webhooks/deliveries' },
  { method: 'GET', path: `/api/v1/webhooks/deliveries/${newMediaId()}` },
  { method: 'POST', path: `/api/v1/webhooks/deliveries/${newMediaId()}/replay` },
  { method: 'GET', path: '/api/v1/no-such-route' },
]

export type RouteAnswer = {
  status: number
  challenge: string | null
  headers: Headers
  /** Of the problem document; undefined where a HEAD has no body. */
  problem: ProblemJson | undefined
}

/** Asks a route with this `Authorization` header, or none; what it answers has to be a problem. */
export async function ask(
  landfall: Pick<Landfall, 'url'>,
  route: Route,
  authorization: string | undefined,
): Promise<RouteAnswer> {
  const response = await fetch(new URL(route.path, landfall.url), {
    method: route.method,
    headers: { ...route.headers, ...(authorization === undefined ? {} : { Authorization: authorization }) },
    body: route.body ?? null,
  })
  const type = response.headers.get('Content-Type')
  if (type !== 'application/problem+json') {
    await response.body?.cancel()
    throw new Error(`${route.method} ${route.path} answered ${response.status} with ${type}, not a problem`)
  }
  const text = await response.text()
  return {
    status: response.status,
    challenge: response.headers.get('WWW-Authenticate'),
    headers: response.headers,
    problem: text === '' ? undefined : (JSON.parse(text) as ProblemJson),
  }
}
