import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { type Answer, rawRequest, tusRequest } from './support/raw-http.ts'
import { createId } from './support/tus.ts'

const PAGE = 'https://app.example.org'

/** A header that holds a list, in lower case. */
const listed = ({ headers }: Answer, name: string) =>
  String(headers[name] ?? '')
    .split(',')
    .map((item) => item.trim().toLowerCase())

describe('OPTIONS', () => {
  let landfall: Landfall
  let picky: Landfall

  beforeAll(async () => {
    landfall = await startLandfall({ withoutWorker: true })
    picky = await startLandfall({ withoutWorker: true, env: { CORS_ORIGINS: PAGE } })
  })
  afterAll(async () => {
    await landfall?.close()
    await picky?.close()
  })

  it.each(['/files', '/files/', `/files/${'A'.repeat(22)}`])(
    'on %s tells without a token what the server can do',
    async (path) => {
      const answer = await rawRequest(landfall, { method: 'OPTIONS', path })
      expect([answer.status, answer.body]).toEqual([204, ''])
      expect(answer.headers).toMatchObject({
        'tus-resumable': '1.0.0',
        'tus-version': '1.0.0',
        'tus-max-size': '524288000',
        'upload-limit': 'max-size=524288000, min-size=1000',
      })
      expect(listed(answer, 'tus-checksum-algorithm')).toEqual(['sha1', 'sha256', 'md5', 'crc32'])
      expect(listed(answer, 'tus-extension').toSorted()).toEqual([
        'checksum',
        'checksum-trailer',
        'concatenation',
        'concatenation-unfinished',
        'creation',
        'creation-defer-length',
        'creation-with-upload',
        'expiration',
        'termination',
      ])
    },
  )

  it.each(['/files', `/files/${'A'.repeat(22)}`, '/api/v1/media'])(
    'as a preflight of %s needs no token and lets tus clients in',
    async (path) => {
      const wanted = 'authorization,tus-resumable,upload-length,upload-metadata,upload-offset,content-type'
      const answer = await rawRequest(landfall, {
        method: 'OPTIONS',
        path,
        headers: {
          Origin: PAGE,
          'Access-Control-Request-Method': 'PATCH',
          'Access-Control-Request-Headers': wanted,
        },
      })
      expect(answer.status).toBe(204)
      expect(answer.headers['access-control-allow-origin']).toBe('*')
      expect(listed(answer, 'access-control-allow-methods')).toEqual(
        expect.arrayContaining(['head', 'post', 'patch', 'delete']),
      )
      expect(listed(answer, 'access-control-allow-headers')).toEqual(wanted.split(','))
      expect(Number(answer.headers['access-control-max-age'])).toBeGreaterThan(0)
      expect(listed(answer, 'vary')).toContain('origin')
    },
  )

  it.each([
    ['a creation', 201, async () => ({ method: 'POST', headers: { 'Upload-Length': '2000' } })],
    ['a HEAD', 200, async () => ({ method: 'HEAD', at: await createId(landfall, 'alice', { size: 2000 }) })],
    ['a refusal', 400, async () => ({ method: 'POST' })],
    ['a refused version', 412, async () => ({ method: 'POST', headers: { 'Tus-Resumable': '3' } })],
    ['a refused token', 401, async () => ({ method: 'POST', headers: { Authorization: 'Bearer x' } })],
    ['nothing', 404, async () => ({ method: 'HEAD', at: 'x' })],
  ] as const)('has %s show a page everything a client reads', async (_what, status, make) => {
    const request: { method: string; at?: string; headers?: Record<string, string> } = await make()
    const answer = await tusRequest(landfall, 'alice', {
      ...request,
      headers: { Origin: PAGE, ...request.headers },
    })
    expect(answer.status).toBe(status)
    expect(answer.headers['access-control-allow-origin']).toBe('*')
    expect(listed(answer, 'vary')).toContain('origin')
    expect(listed(answer, 'access-control-expose-headers')).toEqual(
      expect.arrayContaining([
        ...['location', 'upload-offset', 'upload-length', 'upload-expires', 'upload-metadata'],
        ...['upload-defer-length', 'upload-concat', 'upload-media-id', 'link', 'retry-after'],
        ...['tus-resumable', 'tus-version', 'tus-extension', 'tus-max-size'],
        ...['upload-complete', 'upload-limit', 'etag', 'content-range'],
      ]),
    )
  })

  it.each([
    [PAGE, PAGE],
    ['https://elsewhere.example.org', undefined],
    ['null', undefined],
  ])('with CORS_ORIGINS allows the page of %s: %s', async (origin, allowed) => {
    const answer = await tusRequest(picky, 'alice', {
      method: 'POST',
      headers: { Origin: origin, 'Upload-Length': '2000' },
    })
    expect(answer.headers['access-control-allow-origin']).toBe(allowed)
    expect(listed(answer, 'vary')).toContain('origin')
  })
})
