import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { createId } from './support/tus.ts'

const ORIGIN = 'https://app.example'
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']
const EXPOSED = [
  'Location', 'Upload-Offset', 'Upload-Length', 'Upload-Expires', 'Upload-Metadata', 'Upload-Defer-Length',
  'Upload-Concat', 'Upload-Media-Id', 'Link', 'Tus-Resumable', 'Tus-Version', 'Tus-Extension', 'Tus-Max-Size',
  'Tus-Checksum-Algorithm', 'Retry-After', 'Upload-Complete', 'Upload-Limit', 'ETag', 'Content-Range',
] // biome-ignore format: a list

describe.each([
  ['of anybody', '*', ORIGIN, '*'],
  ['that is allowed', `${ORIGIN},https://other.example`, ORIGIN, ORIGIN],
  ['that is not', 'https://other.example', ORIGIN, null],
])('a page %s', (_, origins, origin, allowed) => {
  let landfall: Landfall
  let id: string
  beforeAll(async () => {
    landfall = await startLandfall({ withoutWorker: true, env: { CORS_ORIGINS: origins } })
    id = await createId(landfall, 'alice', { size: 2000 })
  })
  afterAll(() => landfall?.close())

  const list = (headers: Headers, name: string) =>
    (headers.get(name) ?? '').split(',').map((item) => item.trim().toLowerCase())

  describe.each(['/files', '/files/:id', '/api/v1/uploads', '/api/v1/media'])('at %s', (route) => {
    it.each(METHODS)('learns before a %s whether it may send it', async (method) => {
      const answer = await fetch(landfall.url + route.replace(':id', id), {
        method: 'OPTIONS',
        headers: {
          Origin: origin,
          'Access-Control-Request-Method': method,
          'Access-Control-Request-Headers': 'authorization,tus-resumable,upload-offset,upload-complete',
        },
      })
      expect(answer.status).toBe(204)
      expect(answer.headers.get('Access-Control-Allow-Origin')).toBe(allowed)
      expect(list(answer.headers, 'Vary')).toContain('origin')
      expect(answer.headers.get('Access-Control-Allow-Credentials')).toBeNull()
      if (allowed === null) return
      expect(list(answer.headers, 'Access-Control-Allow-Methods')).toContain(method.toLowerCase())
      expect(list(answer.headers, 'Access-Control-Allow-Headers')).toEqual(
        expect.arrayContaining(['authorization', 'tus-resumable', 'upload-offset', 'upload-complete']),
      )
      expect(list(answer.headers, 'Vary')).toContain('access-control-request-headers')
      expect(answer.headers.get('Access-Control-Max-Age')).toBe('86400')
    })
  })

  it.each<[string, string, RequestInit]>([
    ['an answer', '/files/:id', { method: 'HEAD', headers: { 'Tus-Resumable': '1.0.0' } }],
    ['a conflict', '/files/:id', { method: 'GET' }],
    ['a wrong version', '/files/:id', { method: 'PATCH' }],
    [
      'what is not there',
      '/files/AAAAAAAAAAAAAAAAAAAAAA',
      { method: 'HEAD', headers: { 'Tus-Resumable': '1.0.0' } },
    ],
    ['a refusal of a method', '/files', { method: 'PUT' }],
    [
      'a creation by the other protocol that is refused',
      '/files',
      { method: 'POST', headers: { 'Upload-Complete': '?0', 'Upload-Length': '99999999999' } },
    ],
    ['a list', '/api/v1/uploads?state=open', {}],
  ])('reads %s', async (_what, path, init) => {
    const answer = await fetch(landfall.url + path.replace(':id', id), {
      ...init,
      headers: { ...init.headers, Origin: origin, Authorization: `Bearer ${landfall.token('alice')}` },
    })
    expect(answer.headers.get('Access-Control-Allow-Origin')).toBe(allowed)
    expect(list(answer.headers, 'Vary')).toContain('origin')
    if (allowed === null) return
    for (const name of EXPOSED)
      expect(list(answer.headers, 'Access-Control-Expose-Headers')).toContain(name.toLowerCase())
  })

  it('reads that a token is missing', async () => {
    const answer = await fetch(`${landfall.url}/files/${id}`, { method: 'HEAD', headers: { Origin: origin } })
    expect([answer.status, answer.headers.get('Access-Control-Allow-Origin')]).toEqual([401, allowed])
  })
})
