import { Validator } from '@seriousme/openapi-schema-validator'
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Formats, Media, MediaList, Quota, Readiness, Upload, UploadList } from '../server/api/schemas.ts'
import { CATALOGUE } from '../server/http/errors.ts'
import { jpeg } from './fixtures/media.ts'
import { requires } from './services/requirements.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { createId } from './support/tus.ts'
import { process } from './support/uploads.ts'

type Document = {
  openapi: string
  paths: Record<string, Record<string, unknown>>
  components: { schemas: Record<string, { properties?: Record<string, { enum?: string[] }> }> }
}

const clamd = requires('clamd')

describe.skipIf(!clamd.met)('/openapi.json', () => {
  let landfall: Landfall
  let document: Document

  beforeAll(async () => {
    landfall = await startLandfall()
    document = (await (await fetch(`${landfall.url}/openapi.json`)).json()) as Document
  })
  afterAll(() => landfall?.close())

  it('describes what the routes really answer, member for member', async () => {
    const media = await process(landfall, 'alice', await jpeg({ width: 800, height: 600 }))
    await createId(landfall, 'alice', { size: 5000, metadata: { filename: 'later.mp4' } })
    const get = async (path: string) => await (await landfall.as('alice')(path)).json()
    expect(Media.strict().parse(await get(`/api/v1/media/${media.id}`)).id).toBe(media.id)
    expect(MediaList.strict().parse(await get('/api/v1/media')).items).toHaveLength(1)
    expect(Upload.strict().parse(await get(`/api/v1/uploads/${media.uploadId}`)).state).toBe('received')
    expect(UploadList.strict().parse(await get('/api/v1/uploads')).items).toHaveLength(1)
    expect(Formats.strict().parse(await get('/api/v1/formats')).types.length).toBeGreaterThan(5)
    expect(Quota.strict().parse(await get('/api/v1/quota')).uploads.open).toBe(1)
    expect(Readiness.strict().parse(await get('/readyz')).status).toBe('ready')
  })

  it('names every code that an error can carry', () => {
    expect(document.openapi).toBe('3.1.0')
    expect(document.components.schemas.Problem?.properties?.code?.enum).toEqual(Object.keys(CATALOGUE))
  })

  it('lists routes that exist: each refuses a request without a token, or answers it', async () => {
    for (const [path, item] of Object.entries(document.paths)) {
      for (const method of ['get', 'head', 'post', 'patch', 'delete'].filter((m) => m in item)) {
        const url = landfall.url + path.replace('{id}', 'A'.repeat(22)).replace('{file}', '1.mp4')
        const { status } = await fetch(url, {
          method: method.toUpperCase(),
          headers: { 'Tus-Resumable': '1.0.0' },
        })
        expect([200, 401], `${method} ${path}`).toContain(status)
      }
    }
  })

  it('leads every reference to something', () => {
    const targets = [...JSON.stringify(document).matchAll(/"\$ref":"([^"]*)"/g)].map(([, target]) => target)
    expect(targets.length).toBeGreaterThan(5)
    for (const target of targets) {
      expect(target).toMatch(/^#\/components\/\w+\/\w+$/)
      expect(document.components).toHaveProperty(String(target).split('/').slice(2))
    }
  })

  it('is valid by the schema of OpenAPI 3.1', async () => {
    const validator = new Validator()
    expect(await validator.validate(structuredClone(document))).toEqual({ valid: true })
    expect(validator.version).toBe('3.1')
    // Throws where a reference leads nowhere.
    expect(JSON.stringify(validator.resolveRefs())).not.toContain('"$ref"')
  })

  it('allows each problem its own members', async () => {
    const problems = await Promise.all([
      problemFrom('POST', '/files', { 'Upload-Length': '9999999999' }),
      problemFrom('POST', '/files', {
        'Upload-Length': '5000',
        'Upload-Metadata': `filename ${btoa('a.exe')}`,
      }),
      problemFrom('GET', '/api/v1/quota?limit=1', {}),
      problemFrom('PUT', '/api/v1/quota', {}),
    ])
    expect(problems.map(({ code }) => code)).toEqual([
      'too-large',
      'type-not-allowed',
      'invalid-request',
      'method-not-allowed',
    ])
    const isProblem = compiled('Problem')
    for (const problem of problems) expect([problem, isProblem(problem)]).toEqual([problem, true])
    expect(isProblem({ ...problems[0], added: 'by a later release' })).toBe(true)
    expect(isProblem({ ...problems[0], maxSize: 'large' })).toBe(false)
    expect(isProblem({ ...problems[0], code: 'of-nobody' })).toBe(false)
  })

  it('describes the members of answers and bodies, with a reason and a media id', async () => {
    const answer = await landfall.as('alice')('/api/v1/uploads')
    expect(compiled('UploadList')(await answer.json())).toBe(true)
    const report = { analysisId: 'a', status: 'pending' }
    expect(compiled('AnalysisReport')({ ...report, mediaId: 'A'.repeat(22) })).toBe(true)
    expect(compiled('AnalysisReport')({ ...report, status: 'lost' })).toBe(false)
    const reason = { code: 'infected', detail: 'It is infected.' }
    const [upload] = ((await (await landfall.as('alice')('/api/v1/uploads')).json()) as { items: object[] })
      .items
    expect(compiled('Upload')({ ...upload, reason })).toBe(true)
    expect(compiled('Upload')({ ...upload, reason: 'infected' })).toBe(false)
  })

  /** Validates by a schema of the document, as a client that was generated from it does. */
  function compiled(name: string): ValidateFunction {
    const ajv = new Ajv2020({ strict: false, validateFormats: false })
    return ajv.compile({ $ref: `#/components/schemas/${name}`, components: document.components })
  }

  async function problemFrom(method: string, path: string, headers: Record<string, string>) {
    const answer = await landfall.as('alice')(path, {
      method,
      headers: { 'Tus-Resumable': '1.0.0', ...headers },
    })
    expect(answer.headers.get('Content-Type')).toBe('application/problem+json')
    return (await answer.json()) as { code: string }
  }
})
