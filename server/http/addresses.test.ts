import type { Request } from 'express'
import { describe, expect, it } from 'vitest'
import { type AddressOptions, addressesOf } from './addresses.ts'

type Sent = {
  headers: Record<string, string | string[]>
  isTrusted: boolean
  httpVersion: string
  url: string
}

/** What Node and Express make of a request with these headers. */
function requestWith({ headers, isTrusted, httpVersion, url }: Sent): Request {
  const lines = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), [value].flat()] as const)
  const joined = Object.fromEntries(lines.map(([name, values]) => [name, values.join(', ')]))
  return {
    headers: { ...joined, host: headersOf(lines, 'host')[0] },
    headersDistinct: Object.fromEntries(lines),
    get: (name: string) => joined[name],
    socket: { remoteAddress: '192.0.2.9' },
    app: { get: () => () => isTrusted },
    originalUrl: url,
    httpVersion,
  } as unknown as Request
}

const headersOf = (lines: readonly (readonly [string, string[]])[], name: string) =>
  lines.find(([found]) => found === name)?.[1] ?? []

function told(options: Partial<AddressOptions>, sent: Partial<Sent>): string {
  const request = requestWith({ headers: {}, isTrusted: false, httpVersion: '1.1', url: '/files', ...sent })
  return addressesOf({ LOCATION: 'auto', ...options })(request).location('/files/ID')
}

const HOST = { Host: 'media.example:1080' }

describe('the address of a path, of a request without a proxy', () => {
  it.each([
    'media.example',
    'media.example:1080',
    'MEDIA_1.example',
    '127.0.0.1:1080',
    '[::1]:1080',
    'localhost',
    'a'.repeat(253),
  ])('is below its Host: %s', (host) => {
    expect(told({}, { headers: { Host: host } })).toBe(`http://${host}/files/ID`)
  })

  it.each<string | string[]>([
    '',
    'media.example/evil',
    'media.example#',
    'user@media.example',
    'media.example:0',
    'media.example:65536',
    'media.example:',
    'media.example:80:80',
    '-media.example',
    '.media.example',
    '[media]',
    '[::1',
    'm\u00e9dia.example',
    'media.example, evil.example',
    'media example',
    'a"><script>',
    `${'a'.repeat(254)}`,
    ['media.example', 'evil.example'],
    ['media.example', 'media.example'],
  ])('is relative for a Host that is none: %j', (host) => {
    for (const LOCATION of ['auto', 'absolute', 'relative'] as const)
      expect(told({ LOCATION }, { headers: { Host: host } })).toBe('/files/ID')
  })

  it('is relative without a Host, and where the target names another one', () => {
    expect(told({}, {})).toBe('/files/ID')
    expect(told({}, { headers: HOST, url: 'http://evil.example/files' })).toBe('/files/ID')
  })
})

describe('the address of a path, of a request that shows a proxy which is not trusted', () => {
  const shown: [string, Partial<Sent>][] = [
    ...[
      'Forwarded',
      'X-Forwarded-For',
      'X-Forwarded-Proto',
      'X-Forwarded-Host',
      'X-Forwarded-Port',
      'X-Forwarded-Prefix',
      'X-Forwarded-Server',
      'X-Forwarded-Ssl',
      'X-Original-Forwarded-For',
      'X-Original-URL',
      'X-Original-Host',
      'Via',
      'X-Real-IP',
      'X-Client-IP',
      'True-Client-IP',
      'X-Cluster-Client-IP',
      'X-ProxyUser-Ip',
      'X-Envoy-External-Address',
      'CF-Connecting-IP',
      'CF-Ray',
      'CDN-Loop',
      'Fastly-Client-IP',
      'Front-End-Https',
      'X-Url-Scheme',
      'X-Scheme',
      'X-Amzn-Trace-Id',
      'X-Azure-Ref',
      'X-Appengine-Country',
      'X-Cloud-Trace-Context',
      'Fly-Request-Id',
      'X-Vercel-Id',
      'X_Forwarded_For',
    ].map((name): [string, Partial<Sent>] => [name, { headers: { ...HOST, [name]: 'https' } }]),
    ['HTTP/1.0, which nginx speaks by default', { headers: HOST, httpVersion: '1.0' }],
    [
      'Sec-Fetch-Site, which browsers send over TLS',
      { headers: { ...HOST, 'Sec-Fetch-Site': 'same-origin' } },
    ],
    ['the origin of a page that reaches TLS only', { headers: { ...HOST, Origin: 'https://media.example' } }],
  ]

  it.each(shown)('is relative by %s', (_what, sent) => {
    expect(told({}, sent)).toBe('/files/ID')
    expect(told({ LOCATION: 'relative' }, sent)).toBe('/files/ID')
    expect(told({ LOCATION: 'absolute' }, sent)).toBe('http://media.example:1080/files/ID')
    expect(told({ PUBLIC_URL: 'https://public.example/up' }, sent)).toBe('https://public.example/up/files/ID')
  })

  it.each<Record<string, string>>([
    { Origin: 'http://media.example' },
    { 'User-Agent': 'tus', 'X-Request-Id': 'x', 'X-HTTP-Method-Override': 'PATCH', Origin: 'null' },
    { 'Upload-Metadata': 'filename YQ==', Authorization: 'Bearer x', 'X-Requested-With': 'XMLHttpRequest' },
  ])('is that of its Host all the same with %j', (headers) => {
    expect(told({}, { headers: { ...HOST, ...headers } })).toBe('http://media.example:1080/files/ID')
  })

  it('is that of a loopback Host also for pages of TLS, which may use it', () => {
    const headers = { Host: '127.0.0.1:1080', Origin: 'https://page.example', 'Sec-Fetch-Site': 'cross-site' }
    expect(told({}, { headers })).toBe('http://127.0.0.1:1080/files/ID')
  })
})

describe('the address of a path, behind a proxy that is trusted', () => {
  const X = { 'X-Forwarded-Proto': 'https', 'X-Forwarded-Host': 'media.example' }

  it.each<[string, Record<string, string | string[]>, string]>([
    ['X-Forwarded-Proto and -Host', X, 'https://media.example'],
    [
      'lists, nearest to the client first',
      { 'X-Forwarded-Proto': ', https,http', 'X-Forwarded-Host': ['media.example', 'inner'] },
      'https://media.example',
    ],
    [
      'X-Forwarded-Proto and Host',
      { 'X-Forwarded-Proto': 'https', Host: 'media.example:8443' },
      'https://media.example:8443',
    ],
    ['X-Forwarded-Port', { ...X, 'X-Forwarded-Port': '8443' }, 'https://media.example:8443'],
    [
      'X-Forwarded-Port, and a host with its own',
      { ...X, 'X-Forwarded-Host': 'media.example:9443', 'X-Forwarded-Port': '8443' },
      'https://media.example:9443',
    ],
    ['the usual X-Forwarded-Port', { ...X, 'X-Forwarded-Port': '443' }, 'https://media.example'],
    ['X-Forwarded-Port of an inner proxy', { ...X, 'X-Forwarded-Port': '80' }, 'https://media.example'],
    ['an X-Forwarded-Port that is none', { ...X, 'X-Forwarded-Port': '99999' }, ''],
    ['X-Forwarded-Prefix', { ...X, 'X-Forwarded-Prefix': '/upload/' }, 'https://media.example/upload'],
    [
      'X-Forwarded-Prefix of two proxies',
      { ...X, 'X-Forwarded-Prefix': ['/a', '/b/c'] },
      'https://media.example/a/b/c',
    ],
    ['X-Forwarded-Prefix alone', { 'X-Forwarded-Prefix': '/upload' }, '/upload'],
    [
      'an X-Forwarded-Prefix that is another host',
      { ...X, 'X-Forwarded-Prefix': '//evil.example' },
      'https://media.example',
    ],
    ['an X-Forwarded-Prefix that leaves', { ...X, 'X-Forwarded-Prefix': '/a/../b' }, 'https://media.example'],
    ['an X-Forwarded-Prefix that is no path', { ...X, 'X-Forwarded-Prefix': 'a?b' }, 'https://media.example'],
    [
      'Forwarded',
      { Forwarded: 'for=192.0.2.1;Proto=HTTPS;host="media.example:8443", proto=http;host=inner' },
      'https://media.example:8443',
    ],
    [
      'Forwarded with a comma in quotes',
      { Forwarded: 'by="a,b";proto=https;host=media.example' },
      'https://media.example',
    ],
    [
      'Forwarded without an address, and X-Forwarded-*',
      { ...X, Forwarded: 'for=192.0.2.1', 'X-Forwarded-Port': '8443' },
      'https://media.example:8443',
    ],
    [
      'Forwarded with a scheme, and Host',
      { ...HOST, Forwarded: 'proto=https' },
      'https://media.example:1080',
    ],
    ['X-Forwarded-Proto of a WebSocket', { ...X, 'X-Forwarded-Proto': 'wss' }, 'https://media.example'],
    [
      'an X-Forwarded-Prefix that leaves in escapes',
      { ...X, 'X-Forwarded-Prefix': '/a/%2E./b' },
      'https://media.example',
    ],
    ['X-Forwarded-Proto that is none', { ...X, 'X-Forwarded-Proto': 'javascript' }, ''],
    ['X-Forwarded-Host that is none', { ...X, 'X-Forwarded-Host': 'media.example/evil' }, ''],
    ['no header at all', HOST, 'http://media.example:1080'],
    ['no header of an address', { 'X-Forwarded-For': '192.0.2.1', ...HOST }, ''],
  ])('is what it says by %s', (_what, headers, base) => {
    expect(told({}, { headers, isTrusted: true })).toBe(`${base}/files/ID`)
  })

  it('keeps its prefix where it is to be relative', () => {
    const sent = { headers: { ...X, 'X-Forwarded-Prefix': '/upload' }, isTrusted: true }
    expect(told({ LOCATION: 'relative' }, sent)).toBe('/upload/files/ID')
    expect(told({ LOCATION: 'relative', PUBLIC_URL: 'https://public.example/up' }, sent)).toBe('/up/files/ID')
  })
})

describe('the address of a media item', () => {
  const X = {
    'X-Forwarded-Proto': 'https',
    'X-Forwarded-Host': 'media.example',
    'X-Forwarded-Prefix': '/upload',
  }

  it.each<[string | undefined, boolean, reference: string, link: string]>([
    ['https://public.example/up', false, '/up', 'https://public.example/up'],
    ['https://public.example/up', true, '/up', 'https://public.example/up'],
    ['https://public.example:8443', false, '', 'https://public.example:8443'],
    ['https://public.example/a,b', false, '/a%2Cb', 'https://public.example/a%2Cb'],
    [undefined, true, '/upload', '/upload'],
    [undefined, false, '', ''],
  ])('below %s, with a trusted proxy: %s, is %s in a header and %s in a document', (...row) => {
    const [PUBLIC_URL, isTrusted, reference, link] = row
    const request = requestWith({ headers: { ...HOST, ...X }, isTrusted, httpVersion: '1.1', url: '/files' })
    const addresses = addressesOf({ PUBLIC_URL, LOCATION: 'auto' })(request)
    expect(addresses.reference('/api/v1/media/ID')).toBe(`${reference}/api/v1/media/ID`)
    expect(addresses.link('/api/v1/media/ID')).toBe(`${link}/api/v1/media/ID`)
  })

  it('is told to pages of the origin that PUBLIC_URL or a trusted proxy names', () => {
    const originOf = (options: Partial<AddressOptions>, isTrusted: boolean) =>
      addressesOf({ LOCATION: 'relative', ...options })(
        requestWith({ headers: { ...HOST, ...X }, isTrusted, httpVersion: '1.1', url: '/files' }),
      ).origin
    expect(originOf({ PUBLIC_URL: 'https://public.example:8443/up' }, false)).toBe(
      'https://public.example:8443',
    )
    expect(originOf({}, true)).toBe('https://media.example')
    expect(originOf({}, false)).toBeUndefined()
  })
})
