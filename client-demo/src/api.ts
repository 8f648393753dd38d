import type { Formats, Media, MediaKind, Page, Quota, ServerUpload } from './contract.ts'
import { ApiError, parseProblem } from './problem.ts'
import { addressOf } from './server-address.ts'
import type { Session } from './session.ts'

const timeoutMs = 20_000

/** As the server has it, wherever that is. */
type Path = Parameters<typeof addressOf>[0]

export interface MediaQuery {
  readonly kind?: MediaKind
  readonly cursor?: string
  readonly limit?: number
}

/** Every call rejects with an ApiError whose message can be shown. */
export interface Api {
  upload(id: string): Promise<ServerUpload>
  openUploads(): Promise<readonly ServerUpload[]>
  /** Cancels an upload on the server. One that is gone already is fine. */
  terminate(id: string): Promise<void>
  mediaPage(query: MediaQuery): Promise<Page<Media>>
  media(id: string): Promise<Media>
  deleteMedia(id: string): Promise<void>
  formats(): Promise<Formats>
  quota(): Promise<Quota>
  /** The event stream of all of one's uploads: the response as it comes, whatever its status. */
  events(lastEventId: string | null, signal: AbortSignal): Promise<Response>
}

export function createApi(session: Session): Api {
  async function once(path: Path, init: RequestInit, token: string): Promise<Response> {
    const headers = new Headers(init.headers)
    headers.set('Authorization', `Bearer ${token}`)
    try {
      return await fetch(addressOf(path), { signal: AbortSignal.timeout(timeoutMs), ...init, headers })
    } catch (cause) {
      if (init.signal?.aborted) throw cause
      throw new ApiError({ code: 'network', detail: '' }, 0, { cause })
    }
  }

  /** Sends a request; a refused token is replaced once. */
  async function send(path: Path, init: RequestInit = {}): Promise<Response> {
    const token = await session.token()
    const response = await once(path, init, token)
    if (response.status !== 401) return response
    session.refuse(token)
    return once(path, init, await session.token())
  }

  async function expectOk(response: Response): Promise<Response> {
    if (response.ok) return response
    throw new ApiError(parseProblem(await response.text(), response.status), response.status)
  }

  async function get<T>(path: Path): Promise<T> {
    const response = await expectOk(await send(path, { headers: { Accept: 'application/json' } }))
    return (await response.json()) as T
  }

  return {
    upload: (id) => get(`/api/v1/uploads/${encodeURIComponent(id)}`),
    openUploads: async () => (await get<{ items: ServerUpload[] }>('/api/v1/uploads?state=open')).items,
    async terminate(id) {
      const response = await send(`/files/${encodeURIComponent(id)}`, {
        method: 'DELETE',
        headers: { 'Tus-Resumable': '1.0.0' },
      })
      if (response.status !== 404 && response.status !== 410) await expectOk(response)
    },
    mediaPage({ kind, cursor, limit = 24 }) {
      const query = new URLSearchParams({ limit: String(limit) })
      if (kind !== undefined) query.set('kind', kind)
      if (cursor !== undefined) query.set('cursor', cursor)
      return get(`/api/v1/media?${query}`)
    },
    media: (id) => get(`/api/v1/media/${encodeURIComponent(id)}`),
    async deleteMedia(id) {
      const response = await send(`/api/v1/media/${encodeURIComponent(id)}`, { method: 'DELETE' })
      if (response.status !== 404) await expectOk(response)
    },
    formats: () => get('/api/v1/formats'),
    quota: () => get('/api/v1/quota'),
    events(lastEventId, signal) {
      const headers: Record<string, string> = { Accept: 'text/event-stream' }
      if (lastEventId !== null) headers['Last-Event-ID'] = lastEventId
      return send('/api/v1/events', { headers, signal })
    },
  }
}
