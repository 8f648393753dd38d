import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { type Answer, OFFSET_STREAM, problemOf, rawRequest, tusHeaders } from './support/raw-http.ts'
import { asJpeg } from './support/sample-bytes.ts'
import { createId } from './support/tus.ts'

const SIZE = 2000
const BYTES = asJpeg(Buffer.alloc(SIZE, 'x'))
const base64 = (text: string) => Buffer.from(text).toString('base64')
const NAME = `filename ${base64('a.jpg')}`
const TYPE = `filetype ${base64('image/jpeg')}`

type Lines = Record<string, string | string[]>

/** RFC 9110 § 5.6.1, as tusd and the clients that are about take it. */
describe('a list header as clients really send it', () => {
  let landfall: Landfall

  beforeAll(async () => {
    landfall = await startLandfall({ withoutWorker: true, env: { UPLOAD_MAX_OPEN: '1000' } })
  })
  afterAll(() => landfall?.close())

  const createWith = (headers: Lines) =>
    rawRequest(landfall, {
      method: 'POST',
      path: '/files',
      headers: { ...tusHeaders(landfall, 'alice'), 'Upload-Length': String(SIZE), ...headers },
    })
  const idIn = ({ headers }: Answer) => headers.location?.split('/').at(-1) ?? ''
  const headOf = (at: string) =>
    rawRequest(landfall, { method: 'HEAD', path: `/files/${at}`, headers: tusHeaders(landfall, 'alice') })

  it.each<[string, string | string[], string | undefined, string | null]>([
    ['empty, of tuspy and go-tus', '', undefined, null],
    ['of blanks', '  ', undefined, null],
    ['of commas', ' ,, ', undefined, null],
    ['with a blank behind the comma, of TUSKit', `${NAME}, ${TYPE}`, `${NAME},${TYPE}`, 'a.jpg'],
    ['with a comma at its end', `${NAME},${TYPE},`, `${NAME},${TYPE}`, 'a.jpg'],
    ['with a comma at its beginning', `, ${NAME}`, NAME, 'a.jpg'],
    ['on two lines', [NAME, TYPE], `${NAME},${TYPE}`, 'a.jpg'],
    ['on two lines, one of them empty', ['', NAME], NAME, 'a.jpg'],
    ['with tabs', `${NAME}\t,\t${TYPE}`, `${NAME},${TYPE}`, 'a.jpg'],
    ['with two blanks before a value', NAME.replace(' ', '  '), NAME, 'a.jpg'],
    ['with a key that has no value', `is_confidential,${NAME}`, `is_confidential,${NAME}`, 'a.jpg'],
    ['with a key and only a blank behind it', `${NAME},empty ,b`, `${NAME},empty,b`, 'a.jpg'],
    ['with the same pair twice', `${NAME},${NAME}`, NAME, 'a.jpg'],
    ['with a key that objects have', `constructor YQ==,${NAME}`, `constructor YQ==,${NAME}`, 'a.jpg'],
  ])('Upload-Metadata %s', async (_what, sent, told, filename) => {
    const answer = await createWith({ 'Upload-Metadata': sent })
    expect([answer.status, answer.body]).toEqual([201, ''])
    const seen = await headOf(idIn(answer))
    expect(seen.headers['upload-metadata']).toBe(told)
    const status = await landfall.as('alice')(`/api/v1/uploads/${idIn(answer)}`)
    expect(((await status.json()) as { filename: string | null }).filename).toBe(filename)
  })

  it('Upload-Metadata of a creation of the draft', async () => {
    const answer = await rawRequest(landfall, {
      method: 'POST',
      path: '/files',
      headers: {
        Authorization: `Bearer ${landfall.token('alice')}`,
        'Upload-Complete': '?1',
        'Upload-Metadata': `${NAME}, , ${TYPE},`,
      },
      body: BYTES,
    })
    expect(answer.status).toBe(201)
  })

  it.each<[string, string | string[]]>([
    ['with a comma at its end', 'partial,'],
    ['on two lines', ['partial', 'partial']],
  ])('Upload-Concat "partial" %s', async (_what, value) => {
    expect((await createWith({ 'Upload-Concat': value })).status).toBe(201)
  })

  it.each<[string, (ids: readonly string[]) => string | string[]]>([
    ['with blanks', (ids) => `final; ${ids.join('   ')} `],
    ['with tabs', (ids) => `final;${ids.join('\t')}`],
    ['with commas', (ids) => `final;${ids.join(', ')},`],
    ['with commas alone', (ids) => `final;${ids.join(',')}`],
    ['on a line for each address', (ids) => ids.map((id, index) => (index === 0 ? `final;${id}` : id))],
    ['on whole lines', (ids) => ids.map((id) => `final;${id}`)],
  ])('Upload-Concat "final" %s', async (_what, value) => {
    const headers = { 'Upload-Concat': 'partial' }
    const ids = await Promise.all([1, 2].map(() => createId(landfall, 'alice', { size: SIZE, headers })))
    const { 'Upload-Length': _, ...final } = { 'Upload-Length': '', ...tusHeaders(landfall, 'alice') }
    const answer = await rawRequest(landfall, {
      method: 'POST',
      path: '/files',
      headers: { ...final, 'Upload-Concat': value(ids.map((id) => `/files/${id}`)) },
    })
    expect([answer.status, answer.body]).toEqual([201, ''])
    expect((await headOf(idIn(answer))).headers['upload-length']).toBe(String(2 * SIZE))
  })

  const SHA1 = `sha1 ${createHash('sha1').update(BYTES).digest('base64')}`
  const append = async (headers: Lines) =>
    await rawRequest(landfall, {
      method: 'PATCH',
      path: `/files/${await createId(landfall, 'alice', { size: SIZE })}`,
      headers: {
        ...tusHeaders(landfall, 'alice', { 'Upload-Offset': '0', 'Content-Type': OFFSET_STREAM }),
        ...headers,
      },
      body: BYTES,
    })

  it.each<[string, string | string[], number]>([
    ['with a comma at its end', `${SHA1},`, 204],
    ['on two lines', [SHA1, SHA1], 204],
    ['with two blanks', SHA1.replace(' ', '  '), 204],
    ['of two checksums', [SHA1, SHA1.replace('sha1 ', 'sha256 ')], 400],
    ['that is empty', '', 400],
  ])('Upload-Checksum %s', async (_what, value, status) => {
    expect((await append({ 'Upload-Checksum': value })).status).toBe(status)
  })

  it.each([`${OFFSET_STREAM}; charset=utf-8`, 'Application/Offset+Octet-Stream'])(
    'Content-Type: %s is the type of bytes, whatever its case and parameters',
    async (type) => {
      expect((await append({ 'Content-Type': type })).status).toBe(204)
    },
  )

  it.each<[string | string[], number]>([
    ['gzip', 415],
    ['identity, br', 415],
    [['identity', 'deflate'], 415],
    ['Identity', 204],
    ['identity,', 204],
    ['', 204],
  ])('Content-Encoding: %s of bytes is answered %i', async (coding, status) => {
    const answer = await append({ 'Content-Encoding': coding })
    expect(answer.status).toBe(status)
    if (status === 415) expect(problemOf(answer).code).toBe('unsupported-content-type')
  })

  it.each<[string, string, Lines]>([
    ['a creation with bytes of tus', '/files', { 'Content-Type': OFFSET_STREAM, 'Upload-Length': `${SIZE}` }],
    ['a creation with bytes of the draft', '/files', { 'Tus-Resumable': [], 'Upload-Complete': '?1' }],
  ])('Content-Encoding of %s is 415', async (_what, path, headers) => {
    const given = Object.entries({
      ...tusHeaders(landfall, 'encoder'),
      'Content-Encoding': 'gzip',
      ...headers,
    }).filter(([, value]) => value.length > 0)
    const answer = await rawRequest(landfall, {
      method: 'POST',
      path,
      headers: Object.fromEntries(given),
      body: BYTES,
    })
    expect([answer.status, problemOf(answer).code]).toEqual([415, 'unsupported-content-type'])
  })

  it('Content-Encoding of an append of the draft is 415, and keeps nothing', async () => {
    const draft = { Authorization: `Bearer ${landfall.token('alice')}`, 'Upload-Draft-Interop-Version': '8' }
    const created = await rawRequest(landfall, {
      method: 'POST',
      path: '/files',
      headers: { ...draft, 'Upload-Complete': '?0', 'Upload-Length': String(SIZE), 'Content-Length': '0' },
    })
    const path = `/files/${idIn(created)}`
    const answer = await rawRequest(landfall, {
      method: 'PATCH',
      path,
      headers: {
        ...draft,
        'Upload-Complete': '?1',
        'Upload-Offset': '0',
        'Content-Type': 'application/partial-upload; v=1',
        'Content-Encoding': 'gzip',
      },
      body: BYTES,
    })
    expect([answer.status, problemOf(answer).code]).toEqual([415, 'unsupported-content-type'])
    const seen = await rawRequest(landfall, { method: 'HEAD', path, headers: draft })
    expect(seen.headers['upload-offset']).toBe('0')
  })
})
