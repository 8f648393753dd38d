import fc from 'fast-check'
import { PLACES } from './drawn.ts'

// Values of headers: good ones, nearly good ones, and garbage.

/** What can stand in one line: mostly what HTTP allows there, or else every byte but its end. */
export const anyBytes = (maxLength = 60) => {
  const any = fc.integer({ min: 0, max: 255 }).filter((byte) => byte !== 10 && byte !== 13)
  const visible = fc.integer({ min: 0x20, max: 0xff }).filter((byte) => byte !== 0x7f)
  const line = (byte: fc.Arbitrary<number>) =>
    fc.array(byte, { maxLength }).map((bytes) => String.fromCharCode(...bytes))
  return fc.oneof({ weight: 5, arbitrary: line(visible) }, { weight: 1, arbitrary: line(any) })
}

const text = fc.oneof(
  { weight: 3, arbitrary: fc.string({ maxLength: 40 }) },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 20 }) },
)
const base64 = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes).toString('base64')),
  },
  { weight: 2, arbitrary: text.map((value) => Buffer.from(value).toString('base64')) },
  {
    weight: 1,
    arbitrary: fc.constantFrom('=', '====', 'A', 'AA', 'AAA', 'A===', 'AA=A', '-_', 'Zm9v\u00ff', ' '),
  },
)

export const numbers = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      '0',
      '1',
      '1023',
      '1024',
      '4100',
      '4500',
      '9000',
      '9001',
      '20000',
      '100000',
      '100001',
    ),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      ...[
        '',
        '-0',
        '-1',
        '00',
        '01',
        '+1',
        '1.0',
        '1.5',
        '.5',
        '1e3',
        '1e21',
        '0x10',
        '1,1',
        '1 1',
        '9000;a=1',
        '1_0',
      ],
      ...['9007199254740991', '9007199254740992', '9223372036854775807', '9223372036854775808', '1e400'],
      ...[
        '999999999999999',
        '1000000000000000',
        'NaN',
        'Infinity',
        '-Infinity',
        'null',
        'undefined',
        '٣',
        '?1',
        '"5"',
      ],
    ),
  },
  { weight: 1, arbitrary: fc.bigInt().map(String) },
  { weight: 1, arbitrary: fc.double().map(String) },
)

const names = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.constantFrom('holiday.mp4', 'a.png', 'b.jpg', 'c.webm', 'x', 'a.exe', '.mp4', '..', ''),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      '../../etc/passwd',
      'a\u0000.mp4',
      'ä\u202e4pm.exe',
      '<script>.png',
      `${'n'.repeat(900)}.mp4`,
    ),
  },
  { weight: 1, arbitrary: text },
)
const types = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('video/mp4', 'image/png', 'image/jpeg', 'video/webm') },
  {
    weight: 2,
    arbitrary: fc.constantFrom('text/html', 'video/', '/', '*/*', 'video/mp4; charset=x', 'VIDEO/MP4', ''),
  },
  { weight: 1, arbitrary: text },
)
const keys = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.constantFrom('filename', 'filetype', 'name', 'type', 'relativePath', 'attach', 'x'),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      '__proto__',
      'constructor',
      'toString',
      'hasOwnProperty',
      'prototype',
      '',
      ' ',
      'ä',
    ),
  },
  { weight: 1, arbitrary: anyBytes(12) },
)
const pair = fc.oneof(
  { weight: 3, arbitrary: names.map((name) => `filename ${Buffer.from(name).toString('base64')}`) },
  { weight: 2, arbitrary: types.map((type) => `filetype ${Buffer.from(type).toString('base64')}`) },
  { weight: 3, arbitrary: fc.tuple(keys, base64).map(([key, value]) => `${key} ${value}`) },
  { weight: 1, arbitrary: keys },
)
/** As many keys as fit into the headers of a request. */
const crowd = fc
  .integer({ min: 500, max: 4000 })
  .map((count) => Array.from({ length: count }, (_, index) => `k${index} eA==`).join(','))
export const metadata = fc.oneof(
  { weight: 12, arbitrary: fc.array(pair, { maxLength: 4 }).map((pairs) => pairs.join(',')) },
  { weight: 2, arbitrary: fc.array(pair, { maxLength: 3 }).map((pairs) => pairs.join(', ,')) },
  { weight: 1, arbitrary: crowd },
)

export const goodMetadata = fc.constantFrom(
  `filename ${btoa('holiday.mp4')},filetype ${btoa('video/mp4')}`,
  `filename ${btoa('a.png')}`,
  `name ${btoa('c.jpg')},type ${btoa('image/jpeg')},relativePath bnVsbA==`,
)

const DIGEST_BYTES = { sha1: 20, sha256: 32, sha512: 64, md5: 16, crc32: 4 }
/** Of the right length, and of nothing that is sent. */
const wrong = (name: keyof typeof DIGEST_BYTES) => Buffer.alloc(DIGEST_BYTES[name], 1).toString('base64')

const ALGORITHMS = ['sha1', 'sha256', 'md5', 'crc32'] as const
export const checksums = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...ALGORITHMS).map((name) => `${name} {${name}}`) },
  { weight: 2, arbitrary: fc.constantFrom(...ALGORITHMS).map((name) => `${name} ${wrong(name)}`) },
  { weight: 1, arbitrary: fc.tuple(fc.constantFrom(...ALGORITHMS), base64).map((both) => both.join(' ')) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      ...['sha512 {sha512}', 'crc64 AAAA', '__proto__ AAAA', 'SHA1 {sha1}', 'sha1  {sha1}', 'sha1'],
    ),
  },
  { weight: 1, arbitrary: anyBytes() },
)

export const structured = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom('?1', '?0') },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      ...[
        '?2',
        '1',
        'true',
        '?1;a',
        '?1;a=?0',
        '?1, ?0',
        '(?1)',
        '"?1"',
        ':AA==:',
        '@1',
        '%"a"',
        'a;',
        ';',
        ',',
        '?',
      ],
      ...['?1 ', ' ?1', `?1${';a'.repeat(300)}`, '('.repeat(200), '"\\"', '1234567890123456', '-1.0000', '*'],
    ),
  },
  { weight: 1, arbitrary: anyBytes(20) },
)

export const digests = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom('sha-256=:{sha256}:', 'sha-512=:{sha512}:, sha-256=:{sha256}:') },
  { weight: 1, arbitrary: base64.map((value) => `sha-256=:${value}:`) },
  { weight: 1, arbitrary: fc.constantFrom(`sha-256=:${wrong('sha256')}:`, `sha-512=:${wrong('sha512')}:`) },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      'sha-256',
      'sha-256=?1',
      'sha-256={sha256}',
      'sha-256=::',
      'md5=:{md5}:',
      'sha-256=10',
      '=',
    ),
  },
  { weight: 1, arbitrary: anyBytes() },
)

const address = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...PLACES).map((place) => `/files/{${place}}`) },
  {
    weight: 4,
    arbitrary: fc.constantFrom(
      '/files/{partial-done}',
      '/files/{partial}',
      'http://any/files/{partial-done}',
    ),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      '/files/',
      '//',
      'http://[',
      '/other/{partial}',
      '{partial}',
      'file:///files/{partial}',
      '%',
    ),
  },
  { weight: 1, arbitrary: anyBytes(30) },
)
export const concats = fc.oneof(
  { weight: 3, arbitrary: fc.constant('partial') },
  { weight: 6, arbitrary: fc.array(address, { maxLength: 4 }).map((list) => `final;${list.join(' ')}`) },
  {
    weight: 1,
    arbitrary: fc
      .integer({ min: 100, max: 700 })
      .map((times) => `final;${'/files/{partial-done} '.repeat(times)}`),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom('final', 'final;', 'Partial', 'final; ', 'partial;/files/{partial}', ''),
  },
  { weight: 1, arbitrary: anyBytes() },
)

export const dispositions = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      'attachment; filename="holiday.mp4"',
      "inline; filename*=UTF-8''%e2%82%ac.mp4",
    ),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      ...[
        'attachment; filename',
        'attachment; filename="',
        "attachment; filename*=UTF-8''%ff",
        'x; x=y; x=z',
        ';',
        '',
      ],
      ...[
        "attachment; filename*=nothing''a",
        'attachment; filename="\\',
        `attachment; filename="${'"'.repeat(50)}"`,
      ],
    ),
  },
  { weight: 1, arbitrary: anyBytes() },
)

export const queries = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.constantFrom(
      ...[
        'limit=1',
        'limit=0',
        'limit=-1',
        'limit=1e9',
        'limit[]=1',
        'limit=1&limit=2',
        'state=open',
        'state=x',
        'kind=video',
      ],
      ...[
        'status=ready',
        'status[a]=b',
        'cursor=',
        'cursor=x',
        `cursor=${'A'.repeat(5000)}`,
        'a[b][c][d][e]=f',
        '%',
        '%00=%00',
      ],
      ...[
        '__proto__[x]=1',
        'constructor=1',
        'toString=1',
        '&&&&',
        '=',
        'expires=1&signature=x',
        'expires=9e99&signature=',
      ],
    ),
  },
  {
    weight: 2,
    arbitrary: fc.json({ maxDepth: 2 }).map((json) => `cursor=${Buffer.from(json).toString('base64url')}`),
  },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom(
        '["1","{unknown}"]',
        '["\u0000","x"]',
        '["999999999999999999","{media}"]',
        '[1,2]',
        '{"a":1}',
      )
      .map((json) => `cursor=${Buffer.from(json).toString('base64url')}`),
  },
  { weight: 1, arbitrary: anyBytes(40).map((bytes) => bytes.replaceAll(' ', '+')) },
)
