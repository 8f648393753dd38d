import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { newMediaId, newUploadId, ownerIn } from '../ledger/ids.ts'
import { recountOwner } from '../ledger/recounting.ts'
import { backfill } from '../migrations/0017-tenants.ts'
import { jpeg } from './fixtures/media.ts'
import { readStream } from './support/event-reader.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { ask, mediaRoutes, type Route, uploadRoutes } from './support/routes.ts'
import { describeStorages } from './support/storages.ts'
import { inTenant } from './support/tenant.ts'
import { createId, head, patch } from './support/tus.ts'
import { type MediaJson, process } from './support/uploads.ts'

type Listed = { items: { id: string; ownerId: string; tenantId: string | null; uploadId: string }[] }

/** Tenants of the tests; null is none. */
const TENANTS = ['acme', 'globex', null] as const
type Tenant = (typeof TENANTS)[number] | 'initech'

const shown = (tenant: Tenant) => tenant ?? 'no tenant'
const without = ({ path }: Route) => path.replace(/[\w-]{22}/, ':id')

describeStorages('owners of the same name in several tenants', (storage) => {
  let landfall: Landfall
  const of = (tenant: Tenant, scope?: string) => inTenant(landfall, tenant, scope)
  const media = new Map<Tenant, MediaJson>()
  const mediaOf = (tenant: Tenant) => media.get(tenant) ?? expect.fail('there is no media item')
  const listOf = async (path: string, tenant: Tenant, scope?: string, sub = 'alice') => {
    const response = await of(tenant, scope).as(sub)(path)
    return [response.status, ((await response.json()) as Partial<Listed>).items ?? []] as const
  }

  beforeAll(async () => {
    landfall = await startLandfall({
      storage,
      env: {
        SCAN: 'off',
        AUTH_TENANT: 'optional',
        WEBHOOK_URL: 'http://127.0.0.1:9/',
        WEBHOOK_SECRET: `whsec_${'A'.repeat(44)}`,
      },
    })
    for (const tenant of TENANTS)
      media.set(tenant, await process(of(tenant), 'alice', await jpeg({ width: 640, height: 480 })))
  })
  afterAll(() => landfall?.close())

  it('have lists, a quota and names of their own', async () => {
    const uploads = new Map<Tenant, string>()
    for (const [index, tenant] of TENANTS.entries())
      uploads.set(tenant, await createId(of(tenant), 'alice', { size: 2000 + index }))
    for (const [index, tenant] of TENANTS.entries()) {
      const alice = of(tenant).as('alice')
      const items = async (path: string) => ((await (await alice(path)).json()) as Listed).items
      expect((await items('/api/v1/uploads')).map(({ id }) => id)).toEqual([uploads.get(tenant)])
      expect(await items('/api/v1/media')).toMatchObject([
        { id: mediaOf(tenant).id, ownerId: 'alice', tenantId: tenant },
      ])
      const deliveries = await items('/api/v1/webhooks/deliveries')
      expect(new Set(deliveries.map((one) => one.uploadId))).toEqual(new Set([mediaOf(tenant).uploadId]))
      expect(deliveries[0]).toMatchObject({ ownerId: 'alice', tenantId: tenant })
      expect(await (await alice('/api/v1/quota')).json()).toMatchObject({
        bytes: { used: mediaOf(tenant).size, reserved: 2000 + index },
        uploads: { open: 1, finished: 1 },
      })
    }
  })

  it('have rows of their own', async () => {
    const { rows } = await sql<{ tenant_id: Tenant; owner_id: string }>`
      select tenant_id, owner_id from landfall.media order by created_at`.execute(landfall.db)
    expect(rows).toEqual(TENANTS.map((tenant) => ({ tenant_id: tenant, owner_id: ownerIn(tenant, 'alice') })))
  })

  describe.each(TENANTS.map((tenant) => [shown(tenant), tenant] as const))('with %s', (_name, tenant) => {
    const others = TENANTS.filter((other) => other !== tenant)

    /** What a token gets from a route, but for what differs from request to request. */
    async function seen(route: Route, scope?: string) {
      const { status, problem } = await ask(landfall, route, `Bearer ${of(tenant, scope).token('alice')}`)
      return { status, problem: problem && { ...problem, requestId: '' } }
    }

    it.each<[string, string | undefined]>([
      ['an owner', undefined],
      ['a backend', 'service'],
      // That of no tenant finds everything.
      ...(tenant === null ? [] : [['an admin', 'admin'] as [string, string]]),
    ])('%s finds nothing of the others by its id', async (_who, scope) => {
      for (const other of others) {
        for (const [index, route] of mediaRoutes(mediaOf(other).id).entries()) {
          const absent = mediaRoutes(newMediaId())[index] ?? expect.fail()
          expect([without(route), await seen(route, scope)]).toEqual([
            without(route),
            await seen(absent, scope),
          ])
        }
        for (const [index, route] of uploadRoutes(mediaOf(other).uploadId).entries()) {
          const absent = uploadRoutes(newUploadId())[index] ?? expect.fail()
          expect([without(route), await seen(route, scope)]).toEqual([
            without(route),
            await seen(absent, scope),
          ])
        }
      }
    })

    it('a backend acts for every owner of it', async () => {
      const { id, uploadId } = mediaOf(tenant)
      const service = of(tenant, 'service').as('backend')
      expect(await (await service(`/api/v1/media/${id}`)).json()).toMatchObject({
        id,
        ownerId: 'alice',
        tenantId: tenant,
      })
      expect((await service(`/api/v1/media/${id}/content`)).status).toBe(200)
      expect(await (await service(`/api/v1/uploads/${uploadId}`)).json()).toMatchObject({ id: uploadId })
      const [status, items] = await listOf('/api/v1/media?owner=alice', tenant, 'service', 'backend')
      expect([status, items.map((item) => item.id)]).toEqual([200, [id]])
      expect(await listOf('/api/v1/media', tenant, 'service', 'backend')).toEqual([200, []])
      const quota = await service('/api/v1/quota?owner=alice')
      expect(await quota.json()).toMatchObject({ bytes: { used: mediaOf(tenant).size } })
    })

    it('a backend names no owner of another', async () => {
      for (const other of others.filter((one) => one !== null)) {
        const response = await of(tenant, 'service').as('backend')(
          `/api/v1/media?owner=alice&tenant=${other}`,
        )
        expect([response.status, await response.json()]).toMatchObject([403, { code: 'forbidden' }])
      }
    })

    it('an owner names nobody else, and may name itself', async () => {
      for (const query of ['owner=bob', 'owner=alice&tenant=initech', 'owner=backend']) {
        const response = await of(tenant).as('alice')(`/api/v1/media?${query}`)
        expect([response.status, await response.json()]).toMatchObject([403, { code: 'forbidden' }])
      }
      const itself = tenant === null ? 'owner=alice' : `owner=alice&tenant=${tenant}`
      expect((await listOf(`/api/v1/media?${itself}`, tenant))[1]).toHaveLength(1)
    })
  })

  it('are all reached by an admin without a tenant', async () => {
    for (const tenant of TENANTS) {
      const { id, uploadId } = mediaOf(tenant)
      const admin = of(null, 'admin').as('root')
      expect(await (await admin(`/api/v1/media/${id}`)).json()).toMatchObject({ id, tenantId: tenant })
      expect(await (await admin(`/api/v1/uploads/${uploadId}`)).json()).toMatchObject({ id: uploadId })
      const named = tenant === null ? 'owner=alice' : `owner=alice&tenant=${tenant}`
      const [, items] = await listOf(`/api/v1/media?${named}`, null, 'admin', 'root')
      expect(items.map((item) => item.id)).toEqual([id])
    }
  })

  it('have deliveries that an admin of their tenant lists, and one without a tenant all of', async () => {
    const tenantsOf = async (tenant: Tenant, scope?: string) => {
      const [, items] = await listOf('/api/v1/webhooks/deliveries?limit=100', tenant, scope, 'root')
      return [...new Set(items.map((item) => item.tenantId))].sort()
    }
    expect(await tenantsOf('acme', 'admin')).toEqual(['acme'])
    expect(await tenantsOf('globex', 'admin')).toEqual(['globex'])
    expect(await tenantsOf(null, 'admin')).toEqual(['acme', 'globex', null])
    expect(await tenantsOf('acme', 'service')).toEqual([])
    expect(await tenantsOf('initech', 'admin')).toEqual([])
    const [, [one]] = await listOf('/api/v1/webhooks/deliveries', 'acme', 'admin', 'root')
    for (const [tenant, scope, status] of [
      ['acme', 'admin', 202],
      ['acme', 'service', 202],
      [null, 'admin', 202],
      ['globex', 'admin', 404],
      [null, 'service', 404],
      ['acme', undefined, 404],
    ] as const) {
      const path = `/api/v1/webhooks/deliveries/${one?.id}/replay`
      const answer = await of(tenant, scope).as('root')(path, { method: 'POST' })
      expect([tenant, scope, answer.status]).toEqual([tenant, scope, status])
    }
  })

  it('have uploads that their backend creates, continues and ends for them', async () => {
    const service = of('acme', 'service')
    const created = await service.as('backend')('/files?owner=carol', {
      method: 'POST',
      headers: { 'Tus-Resumable': '1.0.0', 'Upload-Length': '2000' },
    })
    expect(created.status).toBe(201)
    const id = created.headers.get('Location')?.split('/').at(-1) ?? ''
    expect((await head(of('acme'), 'carol', id)).status).toBe(200)
    expect((await head(of('globex'), 'carol', id)).status).toBe(404)
    expect((await head(service, 'backend', id)).status).toBe(200)
    const appended = await patch(service, 'backend', id, { offset: 0, body: Buffer.from('GIF89a') })
    expect([appended.status, appended.headers.get('Upload-Offset')]).toEqual([204, '6'])
    const ended = await of('acme').as('carol')(`/files/${id}`, {
      method: 'DELETE',
      headers: { 'Tus-Resumable': '1.0.0' },
    })
    expect(ended.status).toBe(204)
    const refused = await of('acme').as('mallory')('/files?owner=carol', {
      method: 'POST',
      headers: { 'Tus-Resumable': '1.0.0', 'Upload-Length': '2000' },
    })
    expect(refused.status).toBe(403)
  })

  it('have streams of their own, which a ticket of their backend opens and nothing else', async () => {
    const given = await of('acme', 'service').as('backend')('/api/v1/events/tickets?owner=alice', {
      method: 'POST',
    })
    const { ticket } = (await given.json()) as { ticket: string }
    const open = (path: string) =>
      fetch(`${landfall.url}${path}${path.includes('?') ? '&' : '?'}ticket=${ticket}`, { method: 'HEAD' })
    expect((await open(`/api/v1/uploads/${mediaOf('acme').uploadId}/events`)).status).toBe(200)
    expect((await open(`/api/v1/uploads/${mediaOf('globex').uploadId}/events`)).status).toBe(404)
    expect((await open('/api/v1/events?owner=carol')).status).toBe(403)
    const events = readStream(`${landfall.url}/api/v1/events?ticket=${ticket}&lastEventId=0`, {})
    const first = await events.next()
    expect(JSON.stringify(first.value)).toContain(mediaOf('acme').uploadId)
    await events.return(undefined)
  })

  it.each([
    'owner=',
    'owner=a&owner=b',
    'owner[]=a',
    'tenant=acme',
    `owner=${'x'.repeat(256)}`,
    'owner=acme%1falice',
    'owner=alice&tenant=',
    'owner=%ED%A0%80%00',
  ])('are not named by ?%s', async (query) => {
    for (const scope of [undefined, 'service', 'admin']) {
      const response = await of(null, scope).as('root')(`/api/v1/media?${query}`)
      expect([response.status, await response.json()]).toMatchObject([400, { code: 'invalid-request' }])
    }
  })
})

describe('rows of a release that did not keep tenants apart', () => {
  let landfall: Landfall
  beforeAll(async () => {
    landfall = await startLandfall({ env: { SCAN: 'off', AUTH_TENANT: 'optional' } })
  })
  afterAll(() => landfall?.close())

  it('become those of owners with a tenant, with their usage and limits', async () => {
    const { db } = landfall
    const media = await process(landfall, 'alice', await jpeg({ width: 640, height: 480 }))
    const own = await process(landfall, 'alice', await jpeg({ width: 320, height: 240 }))
    const open = await createId(landfall, 'alice', { size: 3000 })
    await sql`alter table landfall.uploads drop constraint uploads_owner_in_tenant`.execute(db)
    await sql`alter table landfall.media drop constraint media_owner_in_tenant`.execute(db)
    await sql`update landfall.uploads set tenant_id = 'acme' where id in (${media.uploadId}, ${open})`.execute(
      db,
    )
    await sql`update landfall.media set tenant_id = 'acme' where id = ${media.id}`.execute(db)
    await sql`insert into landfall.quotas (owner_id, bytes_limit) values ('alice', 50000000)`.execute(db)

    for (let round = 0; round < 2; round++)
      for (let after: string | undefined = ''; after !== undefined; ) after = await backfill(db, after)
    // As the reaper does.
    for (const tenant of ['acme', null]) await recountOwner(db, ownerIn(tenant, 'alice'))

    const acme = inTenant(landfall, 'acme').as('alice')
    const items = async (as: typeof acme, path: string) => ((await (await as(path)).json()) as Listed).items
    expect((await items(acme, '/api/v1/media')).map(({ id }) => id)).toEqual([media.id])
    expect((await items(acme, '/api/v1/uploads')).map(({ id }) => id)).toEqual([open])
    expect(await (await acme('/api/v1/quota')).json()).toMatchObject({
      bytes: { used: media.size, reserved: 3000, limit: 50_000_000 },
      uploads: { open: 1, finished: 1 },
    })
    const alice = landfall.as('alice')
    expect((await items(alice, '/api/v1/media')).map(({ id }) => id)).toEqual([own.id])
    expect(await items(alice, '/api/v1/uploads')).toEqual([])
    expect(await (await alice('/api/v1/quota')).json()).toMatchObject({
      bytes: { used: own.size, reserved: 0, limit: 50_000_000 },
    })
    const { rows } = await sql<{ owner_id: string }>`
      select distinct owner_id from landfall.events where upload_id = ${media.uploadId}`.execute(db)
    expect(rows).toEqual([{ owner_id: ownerIn('acme', 'alice') }])
  })
})

describe('a server that requires a tenant', () => {
  it('refuses tokens without one, and says which claim is missing', async () => {
    const landfall = await startLandfall({
      withoutWorker: true,
      env: { AUTH_TENANT: 'required', AUTH_TENANT_CLAIM: 'org' },
    })
    const answer = await landfall.as('alice')('/api/v1/quota')
    expect([answer.status, await answer.json()]).toMatchObject([
      401,
      { code: 'token-invalid', detail: 'The token has no "org" claim, which AUTH_TENANT=required requires.' },
    ])
    const token = landfall.token('alice', { org: 'acme', scope: ['admin'] })
    const good = await fetch(`${landfall.url}/api/v1/quota`, {
      headers: { Authorization: `Bearer ${token}` },
    })
    expect(good.status).toBe(200)
    await landfall.close()
  })
})
