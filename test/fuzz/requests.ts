import fc from 'fast-check'
import { type Drawn, type DrawnBody, type DrawnRequest, type HeaderLine, PLACES } from './drawn.ts'
import { garbage } from './garbage.ts'
import * as values from './values.ts'

// Requests begin as good ones of some protocol; then something about most of them is changed.

const OFFSET_STREAM = 'application/offset+octet-stream'
const PARTIAL_UPLOAD = 'application/partial-upload'
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

type Base = { method: string; path: string; headers: readonly HeaderLine[]; body: DrawnBody }

const content = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('mp4' as const, 'png' as const, 'jpeg' as const) },
  { weight: 1, arbitrary: fc.constantFrom('text' as const, 'zeros' as const) },
)
const bytes = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(0, 1, 100, 1023, 1024, 4099, 4100, 4500, 4501, 9000, 9001) },
  { weight: 1, arbitrary: fc.nat({ max: 30_000 }) },
)
const trailers = fc.array(
  fc.oneof(
    { weight: 3, arbitrary: values.checksums.map((value): HeaderLine => ['Upload-Checksum', value]) },
    {
      weight: 1,
      arbitrary: fc.tuple(fc.constantFrom('X-A', 'Content-Length', 'Upload-Offset'), values.anyBytes(20)),
    },
  ),
  { maxLength: 2 },
)
const framing: fc.Arbitrary<DrawnBody['framing']> = fc.oneof(
  { weight: 8, arbitrary: fc.constant({ kind: 'length' as const }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('chunked' as const),
      chunk: fc.integer({ min: 1, max: 5000 }),
      trailers,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('wrong-length' as const),
      by: fc.integer({ min: -3000, max: 3000 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('cut-chunks' as const),
      chunk: fc.integer({ min: 1, max: 5000 }),
      at: fc.nat({ max: 9000 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('broken-chunks' as const),
      size: fc.oneof(
        fc.constantFrom(
          '',
          'g',
          '-1',
          'FFFFFFFFFFFFFFFF',
          '10000000000000000',
          '5;x',
          '0x5',
          `5;${'e'.repeat(20_000)}`,
        ),
        values.anyBytes(20),
      ),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'both' as const }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('said' as const),
      headers: fc.oneof(
        values.numbers.map((value): HeaderLine[] => [['Content-Length', value]]),
        fc
          .tuple(values.numbers, values.numbers)
          .map((both): HeaderLine[] => both.map((one) => ['Content-Length', one])),
        fc
          .constantFrom(
            'gzip, chunked',
            'chunked, chunked',
            'identity',
            'chunked, gzip',
            '',
            'xchunked',
            'chunked;a=b',
          )
          .map((value): HeaderLine[] => [['Transfer-Encoding', value]]),
      ),
    }),
  },
)
const body: fc.Arbitrary<DrawnBody> = fc.record({ content, bytes, framing })
const noBody: fc.Arbitrary<DrawnBody> = fc.constant({ content: 'text', bytes: 0, framing: { kind: 'none' } })
const emptyBody: fc.Arbitrary<DrawnBody> = fc.constant({
  content: 'text',
  bytes: 0,
  framing: { kind: 'length' },
})
/** What completes an upload that is empty or half full. */
const restOf = (left: number): fc.Arbitrary<DrawnBody> =>
  fc.record({ content, bytes: fc.constant(left), framing: fc.constant({ kind: 'length' as const }) })

const TUS: HeaderLine = ['Tus-Resumable', '1.0.0']
const place = fc.constantFrom(...PLACES)
const draftVersion = fc.constantFrom('6', '8', '8', '7', '9')

const created = (more: readonly HeaderLine[], withBody: fc.Arbitrary<DrawnBody>): fc.Arbitrary<Base> =>
  fc.record({ metadata: values.goodMetadata, body: withBody }).map(({ metadata, body }) => ({
    method: 'POST',
    path: '/files',
    headers: [TUS, ['Upload-Metadata', metadata], ...more],
    body,
  }))

const tusCreation = fc.oneof(
  created([['Upload-Length', '9000']], noBody),
  created(
    [
      ['Upload-Length', '9000'],
      ['Content-Type', OFFSET_STREAM],
    ],
    body,
  ),
  created([['Upload-Defer-Length', '1']], emptyBody),
  created(
    [
      ['Upload-Length', '9000'],
      ['Upload-Concat', 'partial'],
    ],
    emptyBody,
  ),
  values.concats.chain((concat) => created([['Upload-Concat', concat]], noBody)),
)

const tusAppend: fc.Arbitrary<Base> = fc
  .record({
    place,
    offset: fc.constantFrom('0', '4500', '9000'),
    body: fc.oneof(body, restOf(9000), restOf(4500)),
    checksum: fc.option(values.checksums, { freq: 3 }),
    isTrailer: fc.boolean(),
  })
  .map(({ place, offset, body, checksum, isTrailer }) => ({
    method: 'PATCH',
    path: `/files/{${place}}`,
    headers: [
      TUS,
      ['Upload-Offset', place === 'half' ? '4500' : offset],
      ['Content-Type', OFFSET_STREAM],
      ...(checksum === null ? [] : [['Upload-Checksum', checksum] as const]),
      ...(isTrailer && body.framing.kind === 'chunked' ? [['Trailer', 'Upload-Checksum'] as const] : []),
    ],
    body,
  }))

const tusOther: fc.Arbitrary<Base> = fc
  .record({
    method: fc.constantFrom('HEAD', 'HEAD', 'DELETE', 'GET', 'OPTIONS', 'POST'),
    place,
    body: noBody,
  })
  .map(({ method, place, body }) => ({ method, path: `/files/{${place}}`, headers: [TUS], body }))

const draftCreation: fc.Arbitrary<Base> = fc
  .record({
    version: draftVersion,
    complete: fc.constantFrom('?1', '?0'),
    body,
    disposition: values.dispositions,
  })
  .map(({ version, complete, body, disposition }) => ({
    method: 'POST',
    path: '/files',
    headers: [
      ['Upload-Draft-Interop-Version', version],
      ['Upload-Complete', complete],
      ['Content-Disposition', disposition],
    ],
    body,
  }))

const draftAppend: fc.Arbitrary<Base> = fc
  .record({
    version: draftVersion,
    place: fc.oneof(place, fc.constantFrom('draft-open' as const, 'draft-half' as const)),
    offset: fc.constantFrom('0', '4500', '9000'),
    complete: fc.constantFrom('?1', '?0'),
    body: fc.oneof(body, restOf(9000), restOf(4500)),
  })
  .map(({ version, place, offset, complete, body }) => ({
    method: 'PATCH',
    path: `/files/{${place}}`,
    headers: [
      ['Upload-Draft-Interop-Version', version],
      ['Upload-Complete', complete],
      ['Upload-Offset', place === 'draft-half' ? '4500' : offset],
      ['Content-Type', PARTIAL_UPLOAD],
    ],
    body,
  }))

const draftOther: fc.Arbitrary<Base> = fc
  .record({
    method: fc.constantFrom('HEAD', 'DELETE', 'GET', 'OPTIONS'),
    version: draftVersion,
    place,
    body: noBody,
  })
  .map(({ method, version, place, body }) => ({
    method,
    path: `/files/{${place}}`,
    headers: [['Upload-Draft-Interop-Version', version]],
    body,
  }))

const apiPaths = fc.oneof(
  place.map((one) => `/api/v1/uploads/{${one}}`),
  place.map((one) => `/api/v1/uploads/{${one}}/events`),
  fc.constantFrom(
    ...[
      '/api/v1/uploads',
      '/api/v1/media',
      '/api/v1/media/{media}',
      '/api/v1/media/{media}/content',
      '/api/v1/quota',
    ],
    ...[
      '/api/v1/media/{media}/thumbnail',
      '/api/v1/media/{unknown}',
      '/api/v1/formats',
      '/api/v1/nothing',
      '/api',
      '/',
    ],
  ),
)
const api: fc.Arbitrary<Base> = fc
  .record({
    method: fc.constantFrom('GET', 'GET', 'GET', 'HEAD', 'DELETE', 'POST', 'OPTIONS'),
    path: apiPaths,
    query: fc.option(values.queries),
    lastEvent: fc.option(values.numbers, { freq: 4 }),
    body: noBody,
  })
  .map(({ method, path, query, lastEvent, body }) => ({
    method,
    path: query === null ? path : `${path}?${query}`,
    headers: lastEvent === null ? [] : [['Last-Event-ID', lastEvent]],
    body,
  }))

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

type Change =
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

const changes = fc.oneof(
  { weight: 4, arbitrary: fc.constant([]) },
  { weight: 5, arbitrary: fc.array(change, { minLength: 1, maxLength: 2 }) },
  { weight: 1, arbitrary: fc.array(change, { minLength: 3, maxLength: 6 }) },
)

const COMMON: readonly HeaderLine[] = [
  ['Host', 'localhost'],
  ['Authorization', 'Bearer {token}'],
]

const request: fc.Arbitrary<DrawnRequest> = fc
  .record({
    base: fc.oneof(
      { weight: 4, arbitrary: tusCreation },
      { weight: 6, arbitrary: tusAppend },
      { weight: 3, arbitrary: tusOther },
      { weight: 3, arbitrary: draftCreation },
      { weight: 4, arbitrary: draftAppend },
      { weight: 2, arbitrary: draftOther },
      { weight: 3, arbitrary: api },
    ),
    changes,
    isClosing: fc.boolean(),
    pieces: fc.oneof(
      { weight: 4, arbitrary: fc.constant(1) },
      { weight: 1, arbitrary: fc.integer({ min: 2, max: 40 }) },
    ),
    end: fc.constantFrom('finish' as const, 'reset' as const),
  })
  .map(({ base, changes, isClosing, pieces, end }) => ({
    kind: 'request',
    ...changed(base, changes, isClosing ? [['Connection', 'close']] : []),
    pieces,
    end,
  }))

function changed(base: Base, changes: readonly Change[], more: readonly HeaderLine[]): Base {
  let { method, path } = base
  let headers = [...COMMON, ...more, ...base.headers]
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

export const drawn: fc.Arbitrary<Drawn> = fc.oneof(
  { weight: 12, arbitrary: request },
  { weight: 1, arbitrary: garbage },
)
