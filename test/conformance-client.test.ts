import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { describe, expect, it } from 'vitest'
import { readAnswer } from '../conformance/kit/answer.ts'
import { booleanOf, dictionaryOf, integerOf } from '../conformance/kit/structured.ts'
import { Exchange, NoAnswer, type WireRequest } from '../conformance/kit/wire.ts'

describe('the client of the suite', () => {
  /** What it sends to a server that answers with these bytes, and what it makes of them. */
  async function exchange(answer: string, request: WireRequest, pieces: readonly string[] = []) {
    let sent = ''
    const server = createServer((socket) => {
      socket.on('data', (bytes) => {
        sent += bytes.toString('latin1')
        if (sent.endsWith('end\r\n\r\n')) socket.end(answer, 'latin1')
      })
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    try {
      const { port } = server.address() as AddressInfo
      const opened = await Exchange.open(new URL(`http://127.0.0.1:${port}/files?x=1`), request)
      for (const piece of pieces) await opened.send(Buffer.from(piece))
      opened.end({ 'X-Trailer': 'end' })
      const received = await opened.answer.catch((error: unknown) => error)
      return { sent: sent.replace(/Host: [^\r]*/, 'Host: …'), received }
    } finally {
      server.close()
    }
  }

  const POST = { method: 'POST', isChunked: true, headers: { 'Upload-Length': '5', Connection: undefined } }

  it('sends the headers it is told to, a body in chunks, and trailers', async () => {
    const { sent } = await exchange('HTTP/1.1 204 No Content\r\n\r\n', POST, ['abc', '', 'de'])
    expect(sent).toBe(
      'POST /files?x=1 HTTP/1.1\r\nHost: …\r\nTransfer-Encoding: chunked\r\nUpload-Length: 5\r\n\r\n' +
        '3\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: end\r\n\r\n',
    )
  })

  it('sends several values of a header in lines of their own', async () => {
    const headers = { 'Upload-Metadata': ['a YQ==', 'b Yg=='], Connection: undefined }
    const { sent } = await exchange('HTTP/1.1 204 No Content\r\n\r\n', { ...POST, headers })
    expect(sent).toContain('\r\nUpload-Metadata: a YQ==\r\nUpload-Metadata: b Yg==\r\n')
  })

  it('reads an answer as that to another method, which has no body whatever it promises', async () => {
    const answer = 'HTTP/1.1 200 OK\r\nUpload-Offset: 3\r\nContent-Length: 10\r\n\r\n'
    expect((await exchange(answer, POST)).received).toBeInstanceOf(NoAnswer)
    const { received } = await exchange(answer, { ...POST, answeredAs: 'HEAD' })
    expect(received).toMatchObject({ status: 200, body: Buffer.alloc(0) })
  })

  it('gives every interim response, and the answer after them', async () => {
    const { received } = await exchange(
      'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 104 X\r\nLocation: /a\r\n\r\nHTTP/1.1 104\r\nUpload-Offset: 3\r\n\r\n' +
        'HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
      POST,
    )
    expect(received).toMatchObject({ status: 201, body: Buffer.from('abc') })
    const { interim } = received as Awaited<Exchange['answer']>
    expect(interim.map(({ status }) => status)).toEqual([100, 104, 104])
    expect(interim.map(({ headers }) => headers.get('location'))).toEqual([undefined, '/a', undefined])
  })

  it.each([
    ['a connection that ends early', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab', NoAnswer],
    ['interim responses alone', 'HTTP/1.1 104 X\r\n\r\n', NoAnswer],
    ['something that is not HTTP', 'SSH-2.0-OpenSSH_9\r\n\r\n', Error],
  ])('takes %s for no answer', async (_what, answer, failure) => {
    expect((await exchange(answer, POST)).received).toBeInstanceOf(failure)
  })

  it('reads an answer that comes byte by byte', () => {
    const bytes = Buffer.from(
      'HTTP/1.1 104 X\r\n\r\nHTTP/1.1 200 OK\r\nA: 1\r\na: 2\r\nContent-Length: 2\r\n\r\nok',
    )
    for (let length = 0; length < bytes.byteLength; length++) {
      expect(readAnswer(bytes.subarray(0, length), 'GET', false).final).toBeUndefined()
    }
    const { final } = readAnswer(bytes, 'GET', false)
    expect([final?.body.toString(), final?.headers.get('a')]).toEqual(['ok', '1, 2'])
  })

  it.each([
    [integerOf, '0', 0],
    [integerOf, '-12', -12],
    [integerOf, '5;a=?1;b="x;y"', 5],
    [integerOf, '5.0', undefined],
    [integerOf, '"5"', undefined],
    [integerOf, '5, 6', undefined],
    [integerOf, '', undefined],
    [booleanOf, '?1', true],
    [booleanOf, '?0;a', false],
    [booleanOf, '?2', undefined],
    [booleanOf, 'true', undefined],
  ] as const)('reads structured fields: %o of "%s" is %s', (read, field, value) => {
    expect(read(field)).toBe(value)
  })

  it.each([
    ['max-size=10,min-size=1;x="a, b" ,  flag', { 'max-size': '10', 'min-size': '1', flag: '?1' }],
    ['sha-256=:YWI=:', { 'sha-256': ':YWI=:' }],
    ['', {}],
    ['max-size=10,', undefined],
    ['Max-Size=10', undefined],
    ['max-size 10', undefined],
  ])('reads the dictionary "%s"', (field, members) => {
    const dictionary = dictionaryOf(field)
    expect(dictionary && Object.fromEntries(dictionary)).toEqual(members)
  })
})
