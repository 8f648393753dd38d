import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { exchange } from './support/raw-connection.ts'

describe('an address', () => {
  let landfall: Landfall

  beforeAll(async () => {
    landfall = await startLandfall({ withoutWorker: true, page: true })
  })
  afterAll(() => landfall?.close())

  const ask = (target: string, method = 'GET', more = '') =>
    exchange(
      landfall,
      `${method} ${target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${landfall.token('alice')}\r\n` +
        `${more}Connection: close\r\n\r\n`,
    )
  const statusOf = async (target: string, method?: string, more?: string) =>
    Number(/^HTTP\/1\.1 (\d{3})/.exec(await ask(target, method, more))?.[1])

  it.each([
    '/metrics',
    '/metrics?x=/',
    '/healthz',
    '/api/v1/quota',
    '/api/v1/media?limit=1',
    '/openapi.json',
  ])('is right as %s', async (target) => {
    expect(await statusOf(target)).toBe(200)
  })

  it.each([
    '/METRICS',
    '/Metrics',
    '/metrics/',
    '//metrics',
    '/metrics//',
    '/./metrics',
    '/x/../metrics',
    '/metrics%2f',
    '/metrics%2F',
    '/metrics%20',
    '/metrics%00',
    '/%6detrics',
    '/%4detrics',
    '/metrics;',
    '/metrics;a=b',
    '/metrics.',
    '/metrics.txt',
    '/metrics#',
    '/metrics#x',
    '/metrics#?x',
    '/metrics\\',
    '/\\metrics',
    '/metrics\xa0',
    '/metrics\t',
    '/metrics\f',
    '/metri\u00e7s',
    'http://x/metrics',
    'http://x//metrics',
    'HTTP://x/metrics',
    'http://x/metrics?y',
    'http:/metrics',
    'http:metrics',
    'http:\\\\x\\metrics',
    'metrics',
    '*',
  ])('that is written otherwise than a proxy would compare it leads to no figures: %s', async (target) => {
    for (const method of ['GET', 'HEAD', 'POST']) {
      const answer = await ask(target, method)
      expect(answer).toMatch(/^HTTP\/1\.1 40[04] /)
      expect(answer).not.toContain('process_cpu')
    }
  })

  it.each([
    '/Api/v1/quota',
    '/api/V1/quota',
    '/api/v1/QUOTA',
    '/api/v1/quota/',
    '/api//v1/quota',
    '/api/v1/media/',
    '/api/v1/uploads/',
    '/HEALTHZ',
    '/healthz/',
    '/Readyz',
    '/readyz/',
    '/OpenAPI.json',
    '/openapi.json/',
    '/Files',
    '/files//',
    `/files/${'a'.repeat(22)}/`,
    `/FILES/${'a'.repeat(22)}`,
    '/DEV/token',
    '/dev/token/',
    '/assets',
    '/assets/',
    '/index.html/',
  ])('is none in another case or with more slashes: %s', async (target) => {
    expect(await statusOf(target)).toBe(404)
  })

  it('may be in absolute form, as of every server', async () => {
    expect(await statusOf('http://x/api/v1/quota')).toBe(200)
    expect(await statusOf('http://x')).toBe(200)
    expect(await statusOf('https://x:1/healthz?y')).toBe(200)
    expect(await statusOf('http://x/api/v1/quota/')).toBe(404)
  })

  it('of the collection may end with a slash, as tusd has it and as clients are configured', async () => {
    const more = 'Tus-Resumable: 1.0.0\r\nUpload-Length: 5000\r\n'
    const created = await ask('/files/', 'POST', more)
    expect(created).toMatch(/^HTTP\/1\.1 201 /)
    const address = /^Location: (\S+)/im.exec(created)?.[1] ?? ''
    const location = new URL(address, 'http://x').pathname
    expect(location).toMatch(/^\/files\/[\w-]+$/)
    expect(await statusOf(location, 'HEAD', 'Tus-Resumable: 1.0.0\r\n')).toBe(200)
    expect(await statusOf('/files/', 'OPTIONS')).toBe(204)
    expect(await statusOf('/files/')).toBe(405)
  })
})
