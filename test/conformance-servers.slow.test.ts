import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { findTarget } from '../conformance/kit/peer.ts'
import { isFailure } from '../conformance/report.ts'
import { rowsFor } from '../conformance/rows.ts'
import { Run, runRow } from '../conformance/run.ts'
import { type Flaw, type StockTus, startStockTus } from './support/stock-tus.ts'

type Plain = { id: string; outcome: string; standard: string; section: string; reason?: string }

const conformance = (...args: string[]) =>
  execa('node', [join(import.meta.dirname, '..', 'conformance', 'main.ts'), ...args], { reject: false })

describe('the suite beside a stock tus server', () => {
  let stock: StockTus

  beforeAll(async () => {
    stock = await startStockTus()
  })
  afterAll(() => stock?.close())

  it('fails it for what tus 1.0 demands in so many words, once each, and skips what it does not offer', async () => {
    const { exitCode, stdout } = await conformance(stock.url.href, '--json')
    const results = JSON.parse(stdout) as Plain[]
    const idsThat = (outcome: string) =>
      results.filter((result) => result.outcome === outcome).map(({ id }) => id)
    expect(exitCode).toBe(1)
    // conformance/README.md says why.
    expect(idsThat('failed')).toEqual(['tus-resumable-other', 'tus-override-patch'])
    expect(idsThat('warning')).toContain('tus-patch-content-type')
    expect(idsThat('note')).toContain('tus-creation-metadata-loose')
    const sectionsSkipped = results
      .filter(({ outcome }) => outcome === 'skipped')
      .map(({ section }) => section)
    expect(sectionsSkipped).toEqual(
      expect.arrayContaining(['Checksum', 'Concatenation', 'Expiration', '4.2 Upload Creation']),
    )
    const reasonOf = (wanted: string) => results.find(({ id }) => id === wanted)?.reason
    expect(reasonOf('tus-checksum-sha1-wrong')).toMatch(/not offer checksum/)
    expect(reasonOf('tus-override-delete')).toBe('it rests on tus-override-patch, which is not met')
    expect(idsThat('passed').length).toBeGreaterThan(60)
  })

  it('says in one line what it comes to, and fails only for a MUST', async () => {
    const only = await conformance(stock.url.href, '--protocol', 'tus', '--only', '^patch$')
    expect([only.exitCode, only.stdout.split('\n').at(-1)]).toEqual([
      0,
      expect.stringMatching(/^\d+ passed, 0 failed, 0 skipped$/),
    ])
    expect(only.stdout).toMatch(/warning +SHOULD +tus-patch-content-type/)
    expect(only.stdout).toContain('otherwise the server SHOULD return a `415 Unsupported Media Type`')
  })

  it('does not call it a success when it could look at nothing', async () => {
    const { exitCode, stderr } = await conformance(
      stock.url.href,
      '--protocol',
      'ietf',
      '--only',
      '^ietf-head',
    )
    expect([exitCode, stderr]).toEqual([2, expect.stringMatching(/every row was skipped/)])
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

// What rests on a row that is not met is skipped: the suite names the cause, and no other row.
describe('the suite beside a stock server with one flaw', () => {
  /** What the stock server does otherwise by itself. */
  const OWN = ['tus-resumable-other', 'tus-override-patch']

  it.concurrent.each<[string, Flaw, string]>([
    ['no HEAD', { refuses: 'HEAD' }, 'tus-head-offset-of-new'],
    ['no PATCH', { refuses: 'PATCH' }, 'tus-patch-appends'],
    ['no creation', { refuses: 'POST' }, 'tus-creation-status'],
    ['200 for a creation', { status: { method: 'POST', of: 201, is: 200 } }, 'tus-creation-status'],
    ['200 for PATCH', { status: { method: 'PATCH', of: 204, is: 200 } }, 'tus-patch-status'],
    ['400 for 409', { status: { method: 'PATCH', of: 409, is: 400 } }, 'tus-patch-conflict-beyond'],
    ['200 for DELETE', { status: { method: 'DELETE', of: 204, is: 200 } }, 'tus-termination-of-new'],
    ['no version in answers', { lacks: { header: 'Tus-Resumable' } }, 'tus-resumable-in-creation'],
    ['no Location', { lacks: { header: 'Location' } }, 'tus-creation-location'],
    [
      'no Upload-Offset in HEAD',
      { lacks: { header: 'Upload-Offset', method: 'HEAD' } },
      'tus-head-offset-of-new',
    ],
    [
      'no Upload-Offset in PATCH',
      { lacks: { header: 'Upload-Offset', method: 'PATCH' } },
      'tus-patch-new-offset',
    ],
    ['no Upload-Length', { lacks: { header: 'Upload-Length', method: 'HEAD' } }, 'tus-head-length'],
    ['no metadata in HEAD', { lacks: { header: 'Upload-Metadata' } }, 'tus-creation-metadata'],
    ['answers that may be cached', { lacks: { header: 'Cache-Control' } }, 'tus-head-no-store'],
    ['no word of a deferred length', { lacks: { header: 'Upload-Defer-Length' } }, 'tus-defer-head'],
  ])('counts %s once', async (_what, flaw, cause) => {
    const stock = await startStockTus(flaw)
    try {
      const rows = rowsFor(8).filter(({ protocol }) => protocol === 'tus')
      const target = await findTarget({ endpoint: stock.url, token: null, interop: 8 })
      const failed = (await new Run(rows, target).resultsOf(rows)).filter(isFailure)
      expect(failed.map(({ row }) => row.id).filter((id) => !OWN.includes(id))).toEqual([cause])
    } finally {
      await stock.close()
    }
  })
})

/** A server that does as it is told here, for the time of a function. */
async function beside<T>(listener: RequestListener, use: (url: URL) => Promise<T>): Promise<T> {
  const server = createServer((request, response) => {
    request.resume()
    listener(request, response)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  try {
    return await use(new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/files`))
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

async function outcomeOf(id: string, listener: RequestListener) {
  return await beside(listener, async (endpoint) => {
    const target = await findTarget({ endpoint, token: null, interop: 8 })
    const row = rowsFor(8).find((known) => known.id === id)
    if (!row) throw new Error(`no row ${id}`)
    return await runRow(row, target)
  })
}

describe('the suite beside a server', () => {
  const onlyVersion =
    (version: string): RequestListener =>
    ({ method, headers }, response) => {
      const isKnown = headers['upload-draft-interop-version'] === version
      if (method === 'OPTIONS') response.writeHead(204)
      else if (isKnown && method === 'POST') response.writeHead(201, { Location: '/files/a' })
      else response.writeHead(isKnown ? 204 : 400)
      response.end()
    }

  it.each([
    ['6', '8'],
    ['8', '6'],
  ])('that speaks interop version %s alone says to use it instead of %s', async (spoken, wanted) => {
    const { exitCode, stderr, stdout } = await beside(onlyVersion(spoken), (url) =>
      conformance(url.href, '--protocol', 'ietf', '--interop', wanted),
    )
    expect(exitCode).toBe(2)
    expect(stderr).toContain(`use --interop ${spoken}`)
    expect(stdout).toContain(`the server speaks interop version ${spoken} of the IETF draft`)
  })

  /** Enough of tus for one upload, whose answer to HEAD promises as many bytes as the upload has. */
  const likeTusd: RequestListener = (request, response) => {
    response.setHeader('Tus-Resumable', '1.0.0')
    const override = request.headers['x-http-method-override']
    const method = request.method === 'POST' && typeof override === 'string' ? override : request.method
    if (method === 'OPTIONS') response.writeHead(204, { 'Tus-Version': '1.0.0', 'Tus-Extension': 'creation' })
    else if (method === 'POST') response.writeHead(201, { Location: '/files/a' })
    else if (method === 'PATCH') response.writeHead(204, { 'Upload-Offset': '1000' })
    else response.writeHead(200, { 'Upload-Offset': '1000', 'Content-Length': '6000' })
    response.flushHeaders()
    response.end()
  }

  it('tells a HEAD that is understood from a body that does not come', async () => {
    expect(await outcomeOf('tus-override-head', likeTusd)).toEqual({ outcome: 'passed' })
    expect(await outcomeOf('tus-override-head-body', likeTusd)).toEqual({
      outcome: 'failed',
      reason: 'the 200 to the POST has Content-Length: 6000 and no body',
    })
  })

  it('that tells no limits has none that a row could try', async () => {
    expect(await outcomeOf('ietf-limit-min-append-end', onlyVersion('8'))).toEqual({
      outcome: 'skipped',
      reason: 'the server tells no least size of an append',
    })
  })

  it('that creates nothing fails the row about creations, and no other for it', async () => {
    const refusing: RequestListener = ({ method }, response) => {
      if (method === 'OPTIONS')
        response.writeHead(204, { 'Tus-Version': '1.0.0', 'Tus-Extension': 'creation' })
      else response.writeHead(403)
      response.end()
    }
    expect((await outcomeOf('tus-creation-status', refusing)).outcome).toBe('failed')
    for (const id of ['tus-patch-status', 'tus-head-length', 'tus-creation-location']) {
      expect(await outcomeOf(id, refusing)).toMatchObject({
        outcome: 'skipped',
        reason: expect.stringMatching(/^no upload could be created: 403/),
      })
    }
  })
})
