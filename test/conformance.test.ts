import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createServer as createTcpServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FileStore } from '@tus/file-store'
import { Server as StockServer } from '@tus/server'
import { execa } from 'execa'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readAnswer } from '../conformance/kit/answer.ts'
import { findTarget, type Target } from '../conformance/kit/peer.ts'
import type { Interop } from '../conformance/kit/protocols.ts'
import type { Row } from '../conformance/kit/row.ts'
import { booleanOf, dictionaryOf, integerOf } from '../conformance/kit/structured.ts'
import { Exchange, NoAnswer, type WireRequest } from '../conformance/kit/wire.ts'
import { rows } from '../conformance/rows.ts'
import { runRow } from '../conformance/run.ts'
import { type Landfall, type StorageKind, startLandfall } from './support/landfall.ts'
import { describeStorages } from './support/storages.ts'

const tusRows = rows.filter(({ protocol }) => protocol === 'tus')
const ietfRows = (interop: Interop) =>
  rows.filter((row) => row.protocol === 'ietf' && row.interop.includes(interop))

/** What only a server whose uploads expire within seconds can show; the rest runs without that haste. */
const WAITING = ['tus-expires-head-after', 'tus-expires-patch-after']

/** What Landfall has nothing to show for, and why. */
const NOT_TOLD: Readonly<Record<string, string>> = {
  'tus-checksum-sha512-right': 'it has no sha512 checksums',
  'tus-checksum-sha512-wrong': 'it has no sha512 checksums',
  'tus-final-order':
    'it gives no bytes to GET on an upload; their order is looked at in storage by other tests',
  'ietf-limit-min-append-end': 'it has no least size of an append',
  'ietf-coding-offset': 'a file that is coded is none of the allowed types',
}

/** What Landfall does otherwise, and why. */
const OTHERWISE: Readonly<Record<string, string>> = {
  'ietf-repr-digest-wrong-appended': 'a file in several requests is compared while it is processed',
}

async function started(storage: StorageKind, env: Record<string, string> = {}): Promise<Landfall> {
  return await startLandfall({
    storage,
    withoutWorker: true,
    env: { UPLOAD_MIN_SIZE: '0', UPLOAD_MAX_OPEN: '1000', ...env },
  })
}

const targetOf = (landfall: Landfall, interop: Interop): Promise<Target> =>
  findTarget({ endpoint: new URL('/files', landfall.url), token: landfall.token('alice'), interop })

/** One test a row, on a server that is started once for all of them. */
function conforms(
  name: string,
  chosen: readonly Row[],
  options: { interop: Interop; env?: Record<string, string> },
) {
  describeStorages(name, (storage) => {
    let landfall: Landfall
    let target: Target

    beforeAll(async () => {
      landfall = await started(storage, options.env)
      target = await targetOf(landfall, options.interop)
    })
    afterAll(() => landfall?.close())

    const shown = chosen.filter(({ id }) => !(id in NOT_TOLD) && !(id in OTHERWISE))
    it.concurrent.each(shown)('$id', async (row) => {
      expect(await runRow(row, target)).toEqual({ outcome: 'passed' })
    })

    const others = chosen.filter(({ id }) => id in NOT_TOLD || id in OTHERWISE)
    if (others.length === 0) return
    it('what is known to be skipped is, and what is known to fail fails', async () => {
      for (const row of others) {
        const { outcome } = await runRow(row, target)
        expect([row.id, outcome]).toEqual([row.id, row.id in OTHERWISE ? 'failed' : 'skipped'])
      }
    })
  })
}

conforms(
  'tus 1.0',
  tusRows.filter(({ id }) => !WAITING.includes(id)),
  { interop: 8 },
)
conforms(
  'tus 1.0 after a while',
  tusRows.filter(({ id }) => WAITING.includes(id)),
  {
    interop: 8,
    env: { UPLOAD_EXPIRES_AFTER: '2s' },
  },
)
conforms('the IETF draft, interop version 8', ietfRows(8), { interop: 8 })
conforms('the IETF draft, interop version 6', ietfRows(6), { interop: 6 })

describe('the rows', () => {
  it('have ids of their own that begin with their protocol', () => {
    const ids = rows.map(({ id }) => id)
    expect(ids.filter((id, index) => ids.indexOf(id) !== index)).toEqual([])
    for (const { id, protocol } of rows) expect(id).toMatch(new RegExp(`^${protocol}-[a-z\\d-]+$`))
  })

  it('say in a sentence what they ask for', () => {
    for (const { requirement } of rows) expect(requirement).toMatch(/^[A-Z].{10,}\.$/)
  })

  it('that are explained away are there', () => {
    const ids = rows.map(({ id }) => id)
    expect([...Object.keys(NOT_TOLD), ...Object.keys(OTHERWISE)].filter((id) => !ids.includes(id))).toEqual(
      [],
    )
  })
})

// The suite finds what a server does otherwise: the stock one is known to.
describe('the suite beside a stock tus server', () => {
  let directory: string
  let server: Server
  let url: string

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'landfall-stock-'))
    const stock = new StockServer({ path: '/files', datastore: new FileStore({ directory }) })
    server = createServer((request, response) => void stock.handle(request, response))
    await once(server.listen(0, '127.0.0.1'), 'listening')
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/files`
  })
  afterAll(async () => {
    server?.closeAllConnections()
    await new Promise((resolve) => server?.close(resolve))
    await rm(directory, { recursive: true, force: true })
  })

  const conformance = (...args: string[]) =>
    execa('node', [join(import.meta.dirname, '..', 'conformance', 'main.ts'), ...args], { reject: false })

  it('finds what it does otherwise, and skips what it does not offer', async () => {
    const { exitCode, stdout } = await conformance(url, '--json')
    const results = JSON.parse(stdout) as { id: string; outcome: string; section: string; reason?: string }[]
    const sectionsThat = (outcome: string) =>
      new Set(results.filter((result) => result.outcome === outcome).map(({ section }) => section))
    expect(exitCode).toBe(1)
    expect([...sectionsThat('failed')]).toEqual(['Tus-Resumable', 'X-HTTP-Method-Override'])
    expect([...sectionsThat('skipped')]).toEqual(
      expect.arrayContaining(['Checksum', 'Concatenation', 'Expiration', '4.2 Upload Creation']),
    )
    expect(results.find(({ id }) => id === 'tus-checksum-sha1-wrong')?.reason).toMatch(/not offer checksum/)
    expect(results.find(({ id }) => id === 'tus-patch-content-type-other')?.outcome).toBe('warning')
    expect(results.filter(({ outcome }) => outcome === 'passed').length).toBeGreaterThan(60)
  })

  it('says in one line what it comes to, and fails only for a MUST', async () => {
    const only = await conformance(url, '--protocol', 'tus', '--only', '^patch$')
    expect([only.exitCode, only.stdout.split('\n').at(-1)]).toEqual([
      0,
      expect.stringMatching(/^\d+ passed, 0 failed, 0 skipped$/),
    ])
    expect(only.stdout).toMatch(/warning +SHOULD +tus-patch-content-type-other/)
  })

  it.each([
    ['no URL', [], /one URL is needed/],
    ['no http URL', ['ftp://127.0.0.1/'], /no http/],
    ['a version that is none', ['http://127.0.0.1/', '--interop', '7'], /takes 6 or 8/],
    ['a pattern that matches nothing', ['http://127.0.0.1/', '--only', 'nonesuch'], /no row matches/],
    ['an unknown option', ['http://127.0.0.1/', '--fast'], /--fast/],
    ['a server that is not there', ['http://127.0.0.1:9/files'], /no answer from/],
  ])('is called wrongly with %s', async (_what, args, message) => {
    const { exitCode, stderr } = await conformance(...args)
    expect([exitCode, stderr]).toEqual([2, expect.stringMatching(message)])
  })
})

describe('the client of the suite', () => {
  /** What it sends to a server that answers with these bytes, and what it makes of them. */
  async function exchange(answer: string, request: WireRequest, pieces: readonly string[] = []) {
    let sent = ''
    const server = createTcpServer((socket) => {
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
