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
    const names = [...JSON.stringify(document).matchAll(/"#\/components\/schemas\/(\w+)"/g)].map(
      (m) => m[1] ?? '',
    )
    expect(names.length).toBeGreaterThan(5)
    for (const name of names) expect(document.components.schemas).toHaveProperty(name)
  })
})
