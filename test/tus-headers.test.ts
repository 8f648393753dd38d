import { once } from 'node:events'
import { connect } from 'node:net'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { problemOf, rawRequest, tusHeaders } from './support/raw-http.ts'
import { asJpeg } from './support/sample-bytes.ts'
import { createId } from './support/tus.ts'

const RUNS = 300

/** What HTTP lets a header value be: visible Latin-1, spaces, tabs. */
const anyValue = fc
  .array(
    fc.integer({ min: 0x20, max: 0xff }).filter((code) => code !== 0x7f),
    { maxLength: 40 },
  )
  .map((codes) => String.fromCharCode(...codes).trim())
const almostNumber = fc.oneof(
  fc.integer().map(String),
  fc.bigInt().map(String),
  fc.double().map(String),
  fc.constantFrom('', '0', '00', '-0', '1e3', '0x1', 'Infinity', '1,1'),
)
const base64 = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes).toString('base64'))
const almostMetadata = fc
  .array(
    fc.tuple(
      fc.constantFrom('filename', 'filetype', 'name', '__proto__', 'constructor', '', ' '),
      fc.oneof(base64, anyValue),
    ),
    { maxLength: 5 },
  )
  .map((pairs) => pairs.map(([key, value]) => `${key} ${value}`).join(','))

const headerValues = {
  'Tus-Resumable': fc.oneof({ weight: 5, arbitrary: fc.constant('1.0.0') }, anyValue),
  'Upload-Length': fc.oneof(almostNumber, anyValue, { weight: 3, arbitrary: fc.constant('2000') }),
  'Upload-Offset': fc.oneof(almostNumber, anyValue, { weight: 3, arbitrary: fc.constant('0') }),
  'Upload-Metadata': fc.oneof(almostMetadata, anyValue),
  'Upload-Defer-Length': fc.oneof(almostNumber, fc.constant('1')),
  'Upload-Concat': fc.oneof(fc.constantFrom('partial', 'final;', 'final;/files/a /files/b'), anyValue),
  'Upload-Checksum': anyValue,
  'Content-Type': fc.oneof(fc.constant('application/offset+octet-stream'), anyValue),
  'X-HTTP-Method-Override': fc.oneof(fc.constantFrom('PATCH', 'DELETE', 'HEAD', 'GET'), anyValue),
  'X-Forwarded-Proto': fc.oneof(fc.constant('https,http'), anyValue),
  'X-Forwarded-Host': anyValue,
  Forwarded: anyValue,
  Origin: anyValue,
  Range: anyValue,
  'If-None-Match': anyValue,
  'Access-Control-Request-Headers': anyValue,
}
const anyHeaders = fc.record(headerValues, { requiredKeys: ['Tus-Resumable'] })
/** Of a type that is accepted, for else the first of them would be the last that an upload takes. */
const anyBytes = fc.uint8Array({ maxLength: 3000 }).map((bytes) => asJpeg(Uint8Array.from(bytes)))
const anyBody = fc.option(anyBytes, { nil: undefined })

describe('a request that cannot be read', () => {
  let landfall: Landfall

  beforeAll(async () => {
    landfall = await startLandfall({ withoutWorker: true })
  })
  afterAll(() => landfall?.close())

  /** All that comes on a connection until it is closed. */
  async function answerTo(text: string): Promise<string> {
    const { hostname, port } = new URL(landfall.url)
    const socket = connect(Number(port), hostname).setEncoding('latin1')
    let answer = ''
    socket.on('data', (part: string) => {
      answer += part
    })
    socket.write(text)
    await once(socket, 'close')
    return answer
  }
  const withHeader = (length: number) =>
    `GET /healthz HTTP/1.1\r\nHost: x\r\nX-Any: ${'x'.repeat(length)}\r\n`

  it.each([
    ['that is no HTTP', 'NONSENSE\r\n\r\n', 400, 'invalid-request'],
    ['with a malformed header', 'GET / HTTP/1.1\r\nHost: x\r\na b: c\r\n\r\n', 400, 'invalid-request'],
    ['with headers of more than 64 KiB', `${withHeader(66_000)}\r\n`, 431, 'headers-too-large'],
  ])('%s is told why, and its connection closed', async (_what, text, status, code) => {
    const answer = await answerTo(text)
    expect(answer.split('\r\n')[0]).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `))
    expect(answer).toContain('\r\nContent-Type: application/problem+json\r\n')
    expect(JSON.parse(answer.slice(answer.indexOf('\r\n\r\n')))).toMatchObject({ status, code })
  })

  it('is none with headers of less than 16 KiB', async () => {
    expect(await answerTo(`${withHeader(15_000)}Connection: close\r\n\r\n`)).toMatch(/^HTTP\/1\.1 200 /)
  })
})

describe('whatever a client writes into its headers', () => {
  let landfall: Landfall

  beforeAll(async () => {
    landfall = await startLandfall({
      withoutWorker: true,
      env: { UPLOAD_MAX_OPEN: '1000000', UPLOAD_MIN_SIZE: '0', TRUST_PROXY: 'loopback' },
    })
  })
  afterAll(async () => {
    await landfall?.close()
  })

  /** Every answer is one that the standard and our catalogue know, and an error is a problem document. */
  async function expectSense(
    method: string,
    path: string,
    headers: Record<string, string>,
    body?: Uint8Array,
  ): Promise<void> {
    const answer = await rawRequest(landfall, {
      method,
      path,
      headers: { ...tusHeaders(landfall, 'alice'), ...headers },
      body,
    })
    expect(answer.status).toBeLessThan(500)
    if (answer.status >= 400 && method !== 'HEAD' && answer.body !== '') {
      expect(problemOf(answer)).toMatchObject({ status: answer.status, code: expect.stringMatching(/./) })
    }
  }

  it('a creation is answered with sense', async () => {
    await fc.assert(
      fc.asyncProperty(anyHeaders, anyBody, (headers, body) =>
        expectSense('POST', '/files', headers as Record<string, string>, body),
      ),
      { numRuns: RUNS },
    )
  })

  it.each(['PATCH', 'POST', 'HEAD', 'DELETE', 'OPTIONS', 'GET', 'PUT'])(
    'a %s of an upload is answered with sense',
    async (method) => {
      const id = await createId(landfall, 'alice', { size: 2000 })
      await fc.assert(
        fc.asyncProperty(anyHeaders, anyBody, (headers, body) =>
          expectSense(
            method,
            `/files/${id}`,
            headers as Record<string, string>,
            method === 'PATCH' || method === 'POST' ? body : undefined,
          ),
        ),
        { numRuns: RUNS / 3 },
      )
    },
  )

  it('an address is answered with sense', async () => {
    const segment = fc.oneof(
      fc.string({ maxLength: 30 }).map(encodeURIComponent),
      fc.constantFrom('%', '%zz', '%00', '%ff', '..', '%2e%2e%2f', '?', ';', '//', 'A'.repeat(5000)),
    )
    await fc.assert(
      fc.asyncProperty(fc.constantFrom('HEAD', 'PATCH', 'GET', 'DELETE'), segment, (method, at) =>
        expectSense(method, `/files/${at}`, {}),
      ),
      { numRuns: RUNS },
    )
  })
})
