import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FileStore } from '@tus/file-store'
import { Server } from '@tus/server'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { type Answer, OFFSET_STREAM, tusRequest } from './support/raw-http.ts'
import { asJpeg } from './support/sample-bytes.ts'
import type { Target } from './support/tus.ts'

// The same requests of tus 1.0 to Landfall and to a stock `@tus/server` with its own `FileStore`. Where the answers
// differ, the difference is listed with its reason, and nothing may differ that is not listed.

const BYTES = asJpeg(Buffer.alloc(2000, 'x'))
const SHA1 = (bytes: Uint8Array) => `sha1 ${Buffer.from(bytes).toString('base64')}`
const NAME = `filename ${btoa('a.jpg')}`

/** `at`: the collection, the upload that the first request made, or an id that nobody has. */
type Step = {
  name: string
  method: string
  at?: 'collection' | 'upload' | 'nowhere'
  headers?: Record<string, string | undefined>
  body?: Uint8Array
}

const create = (headers: Step['headers'] = {}, name = 'POST', body?: Uint8Array): Step => ({
  name,
  method: 'POST',
  at: 'collection',
  headers: { 'Upload-Length': String(BYTES.length), 'Upload-Metadata': NAME, ...headers },
  ...(body ? { body } : {}),
})
const append = (
  offset: number | undefined,
  to: number,
  { name = 'PATCH', headers = {} }: { name?: string; headers?: Step['headers'] } = {},
): Step => ({
  name,
  method: 'PATCH',
  headers: {
    'Content-Type': OFFSET_STREAM,
    'Upload-Offset': offset === undefined ? undefined : String(offset),
    ...headers,
  },
  body: BYTES.subarray(offset ?? 0, to),
})
const look: Step = { name: 'HEAD', method: 'HEAD' }
const end: Step = { name: 'DELETE', method: 'DELETE' }

const SCENARIOS: Record<string, readonly Step[]> = {
  'what the server can': [{ name: 'OPTIONS', method: 'OPTIONS', at: 'collection' }],
  'a file in two requests': [create(), look, append(0, 700), look, append(700, 2000), look],
  'a file with its creation': [create({ 'Content-Type': OFFSET_STREAM }, 'POST with all bytes', BYTES), look],
  'a part with its creation': [
    create({ 'Content-Type': OFFSET_STREAM }, 'POST with some bytes', BYTES.subarray(0, 700)),
    look,
    append(700, 2000),
  ],
  'an empty file': [create({ 'Upload-Length': '0' }), look],
  'a length that is told later': [
    create({ 'Upload-Length': undefined, 'Upload-Defer-Length': '1' }),
    look,
    append(0, 700),
    append(700, 2000, { headers: { 'Upload-Length': '2000' } }),
    look,
  ],
  'another length than was told': [
    create(),
    append(0, 700, { headers: { 'Upload-Length': '1999' } }),
    append(0, 700, { name: 'PATCH with the same length', headers: { 'Upload-Length': '2000' } }),
  ],
  'creations that are wrong': [
    create({ 'Upload-Length': undefined }, 'POST without a length'),
    create({ 'Upload-Defer-Length': '1' }, 'POST with both'),
    create({ 'Upload-Length': '-1' }, 'POST with a negative length'),
    create({ 'Upload-Length': '1e3' }, 'POST with 1e3'),
    create({ 'Upload-Metadata': 'a b c' }, 'POST with broken metadata'),
    create({ 'Tus-Resumable': '0.2.2' }, 'POST of another version'),
    create({ 'Tus-Resumable': undefined }, 'POST without a version'),
  ],
  'appends that are wrong': [
    create(),
    append(5, 10, { name: 'PATCH at another offset' }),
    append(undefined, 10, { name: 'PATCH without an offset' }),
    append(0, 10, { name: 'PATCH of another type', headers: { 'Content-Type': 'text/plain' } }),
    append(0, 10, { name: 'PATCH of another version', headers: { 'Tus-Resumable': '0.2.2' } }),
    { ...append(0, 10), name: 'PATCH to nowhere', at: 'nowhere' },
    { ...append(0, 2000), name: 'PATCH with too much', body: Buffer.concat([BYTES, BYTES]) },
    look,
  ],
  'the last request again': [create(), append(0, 2000), append(2000, 2000, { name: 'PATCH with nothing' })],
  'bytes with another checksum': [
    create(),
    append(0, 2000, { headers: { 'Upload-Checksum': SHA1(Buffer.alloc(20)) } }),
    look,
  ],
  'looks at what is not there': [
    { ...look, at: 'nowhere' },
    { ...end, at: 'nowhere' },
    { name: 'GET', method: 'GET', at: 'nowhere' },
  ],
  'an end before the last byte': [create(), append(0, 700), end, look, end, append(700, 2000)],
  'another method in a header': [
    create(),
    {
      name: 'POST as PATCH',
      method: 'POST',
      headers: {
        'X-HTTP-Method-Override': 'PATCH',
        'Content-Type': OFFSET_STREAM,
        'Upload-Offset': '0',
      },
      body: BYTES.subarray(0, 10),
    },
    look,
  ],
  'partial uploads': [create({ 'Upload-Concat': 'partial' }), look, append(0, 2000), look],
}

/**
 * How Landfall differs on purpose: `SCENARIO / REQUEST / WHAT: stock -> ours`, and why. A sentence of the standard that the
 * stock server does not keep is named by its section.
 */
const DIFFERENCES: readonly { is: RegExp; because: string }[] = [
  {
    is: /upload-expires: - -> there$/,
    because:
      'An open upload ends by itself, and says when (§ expiration). FileStore keeps it for ever by default.',
  },
  {
    is: /cache-control: - -> no-store$/,
    because: 'A refusal holds for the moment: no cache may keep it.',
  },
  {
    is: /OPTIONS \/ tus-(extension|max-size|checksum-algorithm): /,
    because: 'It has checksums and concatenation, and a limit.',
  },
  {
    is: /of another version \/ status: 400 -> 412$|version \/ tus-version: - -> 1\.0\.0$/,
    because: '§ Tus-Resumable: another version MUST be answered by 412, with Tus-Version.',
  },
  {
    is: /with the same length \/ (status: 400 -> 204|upload-offset: - -> 700)$/,
    because: 'A client that resumes says again what it has declared; only another length is an error.',
  },
  {
    is: /at another offset \/ upload-offset: - -> 0$/,
    because: 'A 409 says the offset, which saves the client a HEAD.',
  },
  {
    is: /PATCH without an offset \/ status: 403 -> 400$/,
    because: 'The header is missing; nothing is forbidden.',
  },
  {
    is: /PATCH of another type \/ status: 400 -> 415$/,
    because: '§ PATCH: another Content-Type SHOULD be answered by 415.',
  },
  {
    is: /^bytes with another checksum \/ (PATCH|HEAD)/,
    because: '§ checksum: 460, and none of the bytes are kept.',
  },
  {
    is: /^an end before the last byte \/ .* \/ status: 404 -> 410$/,
    because: '§ termination: what was there and has ended is 410, so that a client knows that it was.',
  },
  {
    is: /^another method in a header \/ (POST as PATCH|HEAD)/,
    because: '§ X-HTTP-Method-Override: the server MUST take the method of the header.',
  },
  { is: /^partial uploads \/ /, because: 'FileStore knows no concatenation.' },
]

/** What of an answer a client goes by. Of an address or a time it is enough that there is one. */
const COMPARED = [
  'tus-resumable',
  'tus-version',
  'tus-extension',
  'tus-max-size',
  'tus-checksum-algorithm',
  'upload-offset',
  'upload-length',
  'upload-defer-length',
  'upload-metadata',
  'upload-concat',
  'cache-control',
]
const PRESENT = ['location', 'upload-expires']

function seen({ status, headers }: Answer): Record<string, string> {
  const values = COMPARED.flatMap((name) => {
    const value = headers[name]
    return value === undefined ? [] : [[name, String(value)]]
  })
  const there = PRESENT.flatMap((name) => (headers[name] === undefined ? [] : [[name, 'there']]))
  return Object.fromEntries([['status', String(status)], ...values, ...there])
}

async function play(target: Target, steps: readonly Step[]): Promise<Map<string, Record<string, string>>> {
  let id: string | undefined
  const answers = new Map<string, Record<string, string>>()
  for (const { name, method, at = 'upload', headers, body } of steps) {
    const answer = await tusRequest(target, 'alice', {
      method,
      ...(at === 'collection' ? {} : { at: at === 'upload' ? id : 'AAAAAAAAAAAAAAAAAAAAAA' }),
      headers: { ...(body ? { 'Content-Length': String(body.byteLength) } : {}), ...headers },
      ...(body ? { body } : {}),
    })
    id ??= answer.headers.location?.split('/').at(-1)
    const key = answers.has(name) ? `${name} (request ${answers.size + 1})` : name
    answers.set(key, seen(answer))
  }
  return answers
}

describe('tus 1.0 of Landfall and of a stock @tus/server', () => {
  let landfall: Landfall
  let stock: Target
  const undo: (() => unknown)[] = []
  const met = new Set<unknown>()

  beforeAll(async () => {
    landfall = await startLandfall({
      withoutWorker: true,
      env: { UPLOAD_MAX_OPEN: '1000', UPLOAD_MIN_SIZE: '0' },
    })
    undo.push(() => landfall.close())
    const directory = await mkdtemp(join(tmpdir(), 'landfall-stock-'))
    undo.push(() => rm(directory, { recursive: true, force: true }))
    const tus = new Server({ path: '/files', datastore: new FileStore({ directory }) })
    const server = createServer((request, response) => tus.handle(request, response)).listen(0, '127.0.0.1')
    await once(server, 'listening')
    undo.push(() => server.close())
    const { port } = server.address() as AddressInfo
    stock = { url: `http://127.0.0.1:${port}`, token: () => 'it asks for none' }
  })
  afterAll(async () => {
    for (const release of undo.splice(0).reverse()) await release()
  })

  it.each(Object.entries(SCENARIOS))('%s: differ in nothing but what is listed', async (scenario, steps) => {
    const [ours, theirs] = [await play(landfall, steps), await play(stock, steps)]
    const differences = [...ours].flatMap(([name, answer]) => {
      const other = theirs.get(name) ?? {}
      return [...new Set([...Object.keys(answer), ...Object.keys(other)])]
        .filter((what) => answer[what] !== other[what])
        .map((what) => `${scenario} / ${name} / ${what}: ${other[what] ?? '-'} -> ${answer[what] ?? '-'}`)
    })
    const reasons = differences.map((difference) => DIFFERENCES.filter(({ is }) => is.test(difference)))
    expect(differences.filter((_, index) => reasons[index]?.length === 0)).toEqual([])
    for (const reason of reasons.flat()) met.add(reason)
    expect(ours.size).toBe(steps.length)
  })

  it('differ in all that is listed', () => {
    expect(DIFFERENCES.filter((difference) => !met.has(difference)).map(({ because }) => because)).toEqual([])
  })
})
