import fc from 'fast-check'
import { type Base, OFFSET_STREAM, PARTIAL_UPLOAD } from './bases.ts'
import type { HeaderLine } from './drawn.ts'
import * as values from './values.ts'

// What is changed about a good request.

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']
const ODD_METHODS = [
  'TRACE',
  'CONNECT',
  'PROPFIND',
  'QUERY',
  'M-SEARCH',
  'FROB',
  'patch',
  'GET\u00ff',
  'X'.repeat(200),
]

const oddPath = fc.oneof(
  fc.constantFrom(
    ...[
      '/files/',
      '/files//',
      '//files',
      '/FILES',
      '/files/{open}/',
      '/files/{open}/x',
      '/files/{open}?x=1',
      '/files?x',
    ],
    ...[
      '/files/../files',
      '/files/%2e%2e%2f',
      '/files/%00',
      '/files/%',
      '/files/%ff',
      '/files/{open}%00',
      '/files/{open}%2f',
    ],
    ...[
      '/files/__proto__',
      '/files/constructor',
      '*',
      'http://elsewhere/files',
      'files',
      '',
      '/files/{open}#x',
      '/./files',
    ],
    ...[
      '/api/v1/media/%00',
      '/api/v1/uploads/%',
      '/api/v1/../../etc/passwd',
      `/files/${'a'.repeat(5000)}`,
      '/files;a=b',
    ],
  ),
  values.anyBytes(30).map((name) => `/files/${name.replaceAll(' ', '_')}`),
)

/** Every header that means something to somebody, with whatever could stand in it. */
const odd = fc.oneof(
  ...Object.entries({
    'Tus-Resumable': fc.oneof(
      fc.constantFrom('1.0.0', '0.2.2', '1.0', '1.0.0, 1.0.0', ''),
      values.anyBytes(10),
    ),
    'Upload-Length': values.numbers,
    'Upload-Offset': values.numbers,
    'Upload-Defer-Length': fc.oneof(fc.constant('1'), values.numbers),
    'Upload-Metadata': values.metadata,
    'Upload-Concat': values.concats,
    'Upload-Checksum': values.checksums,
    'Upload-Complete': values.structured,
    'Upload-Incomplete': values.structured,
    'Upload-Limit': values.structured,
    'Upload-Draft-Interop-Version': fc.oneof(values.numbers, values.structured),
    'Content-Digest': values.digests,
    'Repr-Digest': values.digests,
    'Want-Repr-Digest': fc.oneof(
      fc.constantFrom('sha-256=10', 'sha-512=0', 'sha-256=99999999999', 'x=1'),
      values.digests,
    ),
    'Content-Disposition': values.dispositions,
    'Content-Type': fc.oneof(
      fc.constantFrom(OFFSET_STREAM, PARTIAL_UPLOAD, 'video/mp4', 'text/plain'),
      values.anyBytes(),
    ),
    'Content-Encoding': fc.constantFrom('gzip', 'identity', 'br', 'x'),
    'X-HTTP-Method-Override': fc.oneof(
      fc.constantFrom(...METHODS, 'patch', '__proto__'),
      values.anyBytes(10),
    ),
    'X-Forwarded-Proto': fc.oneof(fc.constantFrom('https,http', 'javascript'), values.anyBytes(20)),
    'X-Forwarded-Host': fc.oneof(fc.constantFrom('a, b', 'a:b:c', '[', 'evil.example'), values.anyBytes(20)),
    'X-Forwarded-For': values.anyBytes(20),
    Forwarded: fc.oneof(fc.constantFrom('host=a;proto=b', 'for="['), values.anyBytes(20)),
    Host: fc.oneof(fc.constantFrom('', 'a b', '[::1', 'evil.example:99999'), values.anyBytes(20)),
    Trailer: fc.constantFrom('Upload-Checksum', 'upload-checksum, x', '', ',,'),
    Expect: fc.oneof(fc.constantFrom('100-continue', '100-Continue', '200-ok'), values.anyBytes(10)),
    Range: fc.oneof(
      fc.constantFrom('bytes=0-', 'bytes=-1', 'bytes=9-1', 'bytes=0-0,1-1', 'lines=1-2'),
      values.anyBytes(20),
    ),
    'If-None-Match': fc.oneof(fc.constantFrom('*', '"a"', 'W/"a"'), values.anyBytes(20)),
    'If-Range': values.anyBytes(20),
    Origin: fc.oneof(fc.constantFrom('null', 'http://a'), values.anyBytes(20)),
    'Access-Control-Request-Method': values.anyBytes(20),
    'Access-Control-Request-Headers': values.anyBytes(20),
    Authorization: fc.oneof(
      fc.constantFrom(
        '',
        'Bearer',
        'Bearer ',
        'Basic YTpi',
        'Bearer a.b.c',
        'bearer {token}',
        'Bearer {token}x',
        `Bearer ${'e'.repeat(9000)}`,
      ),
      values.anyBytes(),
    ),
    Connection: fc.constantFrom('keep-alive', 'upgrade', 'close, Upload-Offset', 'TE, x'),
    Upgrade: fc.constantFrom('websocket', 'h2c', 'TLS/1.0'),
    'Accept-Encoding': values.anyBytes(20),
    Cookie: values.anyBytes(40),
  }).map(([name, value]) => value.map((one): HeaderLine => [name, one])),
)

export type Change =
  | { kind: 'set'; line: HeaderLine }
  | { kind: 'twice'; line: HeaderLine }
  | { kind: 'drop'; which: number }
  | { kind: 'method'; method: string }
  | { kind: 'path'; path: string }
  | { kind: 'crowd'; count: number }

const change: fc.Arbitrary<Change> = fc.oneof(
  { weight: 10, arbitrary: odd.map((line) => ({ kind: 'set' as const, line })) },
  { weight: 2, arbitrary: odd.map((line) => ({ kind: 'twice' as const, line })) },
  { weight: 2, arbitrary: fc.nat({ max: 5 }).map((which) => ({ kind: 'drop' as const, which })) },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom(...METHODS, ...ODD_METHODS)
      .map((method) => ({ kind: 'method' as const, method })),
  },
  { weight: 1, arbitrary: oddPath.map((path) => ({ kind: 'path' as const, path })) },
  {
    weight: 1,
    arbitrary: fc.integer({ min: 50, max: 3000 }).map((count) => ({ kind: 'crowd' as const, count })),
  },
)

export const changes: fc.Arbitrary<readonly Change[]> = fc.oneof(
  { weight: 4, arbitrary: fc.constant([]) },
  { weight: 5, arbitrary: fc.array(change, { minLength: 1, maxLength: 2 }) },
  { weight: 1, arbitrary: fc.array(change, { minLength: 3, maxLength: 6 }) },
)

/** The request with everything about it that was drawn. */
export function changed(base: Base, changes: readonly Change[]): Base {
  let { method, path } = base
  let headers = [...base.headers]
  for (const one of changes) {
    switch (one.kind) {
      case 'set':
        headers = [...headers.filter(([name]) => name !== one.line[0]), one.line]
        break
      case 'twice':
        headers = [...headers, one.line]
        break
      case 'drop':
        headers = headers.filter((_, index) => index !== one.which)
        break
      case 'method':
        method = one.method
        break
      case 'path':
        path = one.path
        break
      case 'crowd':
        headers = [
          ...headers,
          ...Array.from({ length: one.count }, (_, index): HeaderLine => [`X-${index}`, 'y']),
        ]
        break
    }
  }
  return { method, path, headers, body: base.body }
}
