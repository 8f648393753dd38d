import { createHmac } from 'node:crypto'
import type { Landfall } from './landfall.ts'
import type { ProblemJson } from './raw-http.ts'

export type Kind = 'content' | 'thumbnail' | 'storyboard' | 'waveform' | 'hls'
export type LinkJson = {
  id: string
  mediaId: string
  kinds: Kind[]
  disposition: string | null
  filename: string | null
  createdAt: string
  expiresAt: string
  urls: Partial<Record<Kind, string>>
}

const JSON_TYPE = { 'Content-Type': 'application/json' }
export const APP = { id: 'app', secret: 'a-secret-of-the-application-0123456789' }
export const KEYS = `${APP.id}:${APP.secret}`

export const nowSeconds = () => Math.floor(Date.now() / 1000)
export const order = (at: Landfall, media: { id: string }, body: object, sub = 'alice', query = '') =>
  at.as(sub)(`/api/v1/media/${media.id}/links${query}`, {
    method: 'POST',
    headers: JSON_TYPE,
    body: JSON.stringify(body),
  })
export async function give(at: Landfall, media: { id: string }, body: object = {}): Promise<LinkJson> {
  const response = await order(at, media, body)
  if (response.status !== 201) throw new Error(`${response.status}: ${await response.text()}`)
  return (await response.json()) as LinkJson
}
export const revoke = async (at: Landfall, { id, mediaId }: LinkJson, sub = 'alice') =>
  (await at.as(sub)(`/api/v1/media/${mediaId}/links/${id}`, { method: 'DELETE' })).status

/** Status and code of an answer. */
export async function told(response: Response): Promise<[number, string?]> {
  if (!response.headers.get('Content-Type')?.startsWith('application/problem')) {
    await response.body?.cancel()
    return [response.status]
  }
  return [response.status, ((await response.json()) as ProblemJson).code]
}
export const follow = async (at: Landfall, url: string, init?: RequestInit) =>
  await told(await fetch(new URL(url, at.url), init))

/** Every address in what players read, followed to the end: all that a link opens. */
export async function walked(landfall: Landfall, url: string): Promise<URL[]> {
  const at = new URL(url, landfall.url)
  const answer = await fetch(at)
  const type = answer.headers.get('Content-Type') ?? ''
  if (!/mpegurl|vtt/.test(type)) {
    await answer.body?.cancel()
    return [at]
  }
  const text = await answer.text()
  const named = [...text.matchAll(/^(?:#EXT-X-MAP:URI="([^"]+)".*|([^#\s]\S*\?\S+))$/gm)].map((m) =>
    (m[1] ?? m[2] ?? '').replace(/#.*$/, ''),
  )
  const parts = await Promise.all([...new Set(named)].map((one) => walked(landfall, new URL(one, at).href)))
  return [at, ...parts.flat()]
}

/** What an application signs, written here anew. */
export function signedByApplication(
  path: string,
  { key = APP.id, secret = APP.secret, expires = nowSeconds() + 60, more = '' } = {},
): string {
  const link = `${path}?expires=${expires}&key=${key}${more}`
  return `${link}&signature=${createHmac('sha256', secret).update(link).digest('base64url')}`
}
