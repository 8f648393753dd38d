import fc from 'fast-check'
import type { DrawnBytes } from './drawn.ts'
import { anyBytes } from './values.ts'

// What is no HTTP, or hardly.

const allBytes = fc
  .array(fc.integer({ min: 0, max: 255 }), { maxLength: 300 })
  .map((bytes) => String.fromCharCode(...bytes))

const requestLine = fc.oneof(
  fc.constantFrom(
    ...[
      'GET /files HTTP/9.9',
      'GET /files HTTP/0.9',
      'GET /files',
      'GET  /files  HTTP/1.1',
      ' GET /files HTTP/1.1',
      'GET',
    ],
    ...[
      'PRI * HTTP/2.0',
      'GET /files HTTP/1.1 x',
      'POST /files\tHTTP/1.1',
      'GET /files http/1.1',
      'GET /\u0000 HTTP/1.1',
    ],
    ...[
      'HTTP/1.1 200 OK',
      'GET /files HTTP/1.0',
      'CONNECT localhost:1 HTTP/1.1',
      `GET /${'a'.repeat(70_000)} HTTP/1.1`,
    ],
  ),
  anyBytes(80),
)
const line = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.constantFrom('Host: a', 'Connection: close', 'Tus-Resumable: 1.0.0', 'Upload-Length: 1'),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      ...[
        'Content-Length: 5\r\nTransfer-Encoding: chunked',
        'Content-Length : 5',
        ' folded: x',
        ':',
        ': x',
        'no colon',
      ],
      ...[
        'Content-Length: 5\nX: y',
        'Content-Length: 5\rX: y',
        'A\u0000B: c',
        'Host: a\r\nHost: b',
        'Transfer-Encoding:\tchunked',
      ],
      ...[
        'Transfer-Encoding : chunked',
        'Content-Length: +5',
        'Content-Length: 5, 5',
        'Ä: b',
        'Upgrade: h2c\r\nConnection: upgrade',
      ],
    ),
  },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 80_000 }).map((size) => `X-Large: ${'v'.repeat(size)}`) },
  {
    weight: 1,
    arbitrary: fc.integer({ min: 1, max: 5000 }).map((count) => 'X-Many: 1\r\n'.repeat(count).slice(0, -2)),
  },
  { weight: 1, arbitrary: anyBytes(80) },
)
const hardlyHttp = fc
  .record({
    requestLine,
    lines: fc.array(line, { maxLength: 6 }),
    isEnded: fc.boolean(),
    rest: fc.oneof(
      fc.constant(''),
      allBytes,
      fc.constant('0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n'),
    ),
  })
  .map(({ requestLine, lines, isEnded, rest }) =>
    [requestLine, ...lines, ...(isEnded ? ['', rest] : [rest])].join('\r\n'),
  )
/** The beginning of a handshake of TLS, and of a connection of HTTP/2. */
const otherProtocols = fc.constantFrom(
  '\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001\u00fc\u0003\u0003',
  'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\u0000\u0000\u0000\u0004\u0000\u0000\u0000\u0000\u0000',
  'SSH-2.0-OpenSSH_9.9\r\n',
  '\r\n\r\n\r\n\r\n',
)

export const garbage: fc.Arbitrary<DrawnBytes> = fc.record({
  kind: fc.constant('bytes' as const),
  bytes: fc.oneof(
    { weight: 1, arbitrary: allBytes },
    { weight: 5, arbitrary: hardlyHttp },
    { weight: 1, arbitrary: otherProtocols },
  ),
  // A header that comes slowly.
  pieces: fc.oneof(
    { weight: 2, arbitrary: fc.constant(1) },
    { weight: 1, arbitrary: fc.integer({ min: 2, max: 60 }) },
  ),
  end: fc.constantFrom('finish' as const, 'reset' as const),
})
