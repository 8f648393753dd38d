import fc from 'fast-check'
import jwt from 'jsonwebtoken'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { newLinkId, newMediaId, type OwnerId, ownerIn, parseMediaId, type UploadId } from '../ledger/ids.ts'
import type { Subject } from '../ledger/owner-of.ts'
import { ROUTES } from '../server/api/table.ts'
import { ContentLinks, type LinkTarget } from '../server/auth/content-links.ts'
import type { Access } from '../server/routes/route.ts'
import { linkKey, signedPath } from '../storage/signed-path.ts'
import { requires } from './services/requirements.ts'
import { type Landfall, SECRET, startLandfall } from './support/landfall.ts'
import { APP, nowSeconds, signedByApplication } from './support/links.ts'
import { requestOf } from './support/routes.ts'
import { asJpeg } from './support/sample-bytes.ts'
import { inTenant } from './support/tenant.ts'
import { createId, patch } from './support/tus.ts'

// Who gets what, for every route of the table: docs/api.md, "Callers and owners". Each request is for something of alice
// in the tenant acme; what the caller may do with it is said by a model here, and not by the server's own functions.

const BYTES = asJpeg(Buffer.alloc(2000, 'x'))

type Caller = { tenant: string | null; sub: string; scope?: 'service' | 'admin' }

const TOKENS: Readonly<Record<string, Caller>> = {
  'its owner': { tenant: 'acme', sub: 'alice' },
  'another owner': { tenant: 'acme', sub: 'bob' },
  'the same name in another tenant': { tenant: 'globex', sub: 'alice' },
  'the same name without a tenant': { tenant: null, sub: 'alice' },
  'a service of the tenant': { tenant: 'acme', sub: 'backend', scope: 'service' },
  'a service of another tenant': { tenant: 'globex', sub: 'backend', scope: 'service' },
  'a service called alice in another tenant': { tenant: 'globex', sub: 'alice', scope: 'service' },
  'a service without a tenant': { tenant: null, sub: 'backend', scope: 'service' },
  'an admin of the tenant': { tenant: 'acme', sub: 'root', scope: 'admin' },
  'an admin of another tenant': { tenant: 'globex', sub: 'root', scope: 'admin' },
  'an admin of all': { tenant: null, sub: 'root', scope: 'admin' },
}
const OTHERS = [
  'nobody',
  'an expired token',
  'a token of another issuer',
  'a ticket of its upload',
  'a ticket of another upload',
  'a used ticket',
  'a revoked ticket',
  'a stream ticket of its owner',
  'a stream ticket of another owner',
  'a link to it',
  'a link to something else',
  'an expired link',
  'a revocable link to it',
  'a revoked link to it',
  'a link to it with the id of another',
  'a link of its application',
  'a link of another application',
] as const
type Credential = string

/** What becomes of a request: it is let in, or the status of its refusal. */
type Outcome = 'in' | 401 | 403 | 404

/** Whether a caller acts for an owner. */
function reaches({ tenant, sub, scope }: Caller, owner: { tenant: string | null; sub: string }): boolean {
  if (scope === 'admin' && tenant === null) return true
  if (tenant !== owner.tenant) return false
  return scope !== undefined || sub === owner.sub
}

const ALICE = { tenant: 'acme', sub: 'alice' }

type Declared = (typeof ROUTES)[number]
const isDirect = ({ path }: Declared) => path.startsWith('/api/v1/direct-uploads')
const subjectOf = ({ params }: Declared): Subject | 'owner' | undefined => params?.id?.subject

function expected(route: Declared, credential: Credential): Outcome {
  const { access } = route
  if (access === 'public') return 'in'
  if (access === 'dev-code') return 404
  const caller = TOKENS[credential]
  const subject = subjectOf(route)
  if (caller) {
    if (access === 'link') return 404
    if (access === 'service' && caller.scope === undefined) return 403
    if (access === 'service-or-signature' && caller.scope !== 'service') return 403
    // A name is that of an owner in the tenant of the caller, whoever that is.
    if (subject === 'owner') return 'in'
    return subject === undefined || reaches(caller, ALICE) ? 'in' : 404
  }
  const isByLink = access === 'link' || access === 'token-or-link'
  switch (credential) {
    case 'a link to it':
      return isByLink ? 'in' : 401
    case 'a revocable link to it':
    case 'a link of its application':
      return access === 'token-or-link' ? 'in' : 401
    case 'a link of another application':
      return access === 'token-or-link' ? 404 : 401
    case 'a stream ticket of its owner':
      return access === 'token-or-ticket' ? 'in' : 401
    case 'a stream ticket of another owner':
      if (access !== 'token-or-ticket') return 401
      return subject === undefined ? 'in' : 404
    case 'a revoked ticket':
      return 401
    case 'a ticket of its upload':
    case 'a ticket of another upload':
    case 'a used ticket':
      return withTicket(route, credential)
    default:
      return 401
  }
}

/** Where a request of this test begins an upload. */
const BEGINNING: readonly string[] = [
  '/files',
  '/api/v1/direct-uploads/s3/multipart',
  '/api/v1/direct-uploads/s3/params',
]

/** An upload ticket is for uploads that are begun with it, until they are complete; as the subject of this test is. */
function withTicket(route: Declared, credential: Credential): Outcome {
  if (route.access === 'link') return 404
  if (route.access !== 'token-or-upload-ticket') return 403
  if (subjectOf(route) === undefined)
    // Of the others the request is not good enough to begin an upload.
    return credential === 'a used ticket' && BEGINNING.includes(route.path) ? 403 : 'in'
  if (credential !== 'a ticket of its upload') return 404
  // This one is complete, and that of a direct upload is not.
  if (isDirect(route)) return 'in'
  return route.method === 'get' || route.method === 'delete' ? 403 : 'in'
}

const ceph = requires('ceph')

describe.skipIf(!ceph.met)('a request for something of alice in acme', () => {
  let landfall: Landfall
  let links: ContentLinks
  let key: Buffer
  let used: string
  let streamTickets: { own: string; other: string }
  const acme = (scope?: string) => inTenant(landfall, 'acme', scope)

  beforeAll(async () => {
    landfall = await startLandfall({
      // Which has everything that is on a disk, and direct uploads.
      storage: 's3',
      withoutWorker: true,
      env: {
        AUTH_TENANT: 'optional',
        UPLOAD_MAX_OPEN: '1000000',
        STREAMS_PER_OWNER: '1000',
        LINK_SIGNING_KEYS: `acme/own:${APP.secret} globex/foreign:${APP.secret}`,
      },
    })
    key = await linkKey(landfall.db)
    links = new ContentLinks(key)
    await sql`insert into landfall.webhook_endpoints (id, url) values ('test', 'http://127.0.0.1:9/')`.execute(
      landfall.db,
    )
    const give = async (query: string) => {
      const answer = await acme('service').as('backend')(`/api/v1/events/tickets${query}`, { method: 'POST' })
      return ((await answer.json()) as { ticket: string }).ticket
    }
    streamTickets = { own: await give('?owner=alice'), other: await give('?owner=bob') }
    const spent = await ticket()
    await createId(bearing(spent.token), '', { size: 2000 })
    used = spent.token
  })
  afterAll(() => landfall?.close())

  const bearing = (token: string) => ({ ...landfall, token: () => token })
  async function ticket(count = 1): Promise<{ id: string; token: string }> {
    const answer = await acme('service').as('backend')('/api/v1/tickets', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ owner: 'alice', count }),
    })
    return (await answer.json()) as { id: string; token: string }
  }

  async function directUpload() {
    const { token } = await ticket(2)
    const begun = await fetch(`${landfall.url}/api/v1/direct-uploads`, {
      method: 'POST',
      headers: { ...bearer(token).headers, 'Content-Type': 'application/json' },
      body: JSON.stringify({ size: 2000 }),
    })
    const { id } = (await begun.json()) as { id: string }
    return {
      ids: { upload: id as UploadId, media: '', ticket: '', delivery: '', owner: 'alice' },
      token,
      link: newLinkId(),
    }
  }

  /** As for a media item that is ready. */
  async function storeLink(media: string, { isRevoked = false } = {}): Promise<string> {
    const id = newLinkId()
    await sql`
      insert into landfall.media_links (id, media_id, owner_id, kinds, expires_at, revoked_at)
      select ${id}, id, owner_id, '{content}', now() + interval '1 hour', ${isRevoked ? sql`now()` : null}
        from landfall.media where id = ${media}`.execute(landfall.db)
    return id
  }

  /** Something of each kind, of which a request may end one. */
  async function subjects() {
    const { id: ticketId, token } = await ticket(2)
    const upload = await createId(bearing(token), '', { size: BYTES.length })
    const sent = await patch(bearing(token), '', upload, { offset: 0, body: BYTES })
    expect(sent.status).toBe(204)
    const media = sent.headers.get('Upload-Media-Id') ?? ''
    const { rows } = await sql<{ id: string }>`
      select id from landfall.webhook_deliveries where upload_id = ${upload} limit 1`.execute(landfall.db)
    const ids = { upload, media, ticket: ticketId, delivery: rows[0]?.id ?? '', owner: 'alice' }
    return { ids, token, link: await storeLink(media) }
  }

  const bearer = (token: string) => ({ headers: { Authorization: `Bearer ${token}` } })
  const linkTo = (path: string, id: string, sign: (target: LinkTarget) => string) => {
    const [, , target = ''] = /^\/api\/v1\/media\/([^/]+)\/(.+)$/.exec(path) ?? []
    return id === '' ? '' : `?${sign(target as LinkTarget).split('?')[1]}`
  }

  async function shown(
    credential: Credential,
    path: string,
    { ids, token, link }: Awaited<ReturnType<typeof subjects>>,
  ) {
    const caller = TOKENS[credential]
    if (caller) {
      const { tenant, sub, scope } = caller
      return bearer(inTenant(landfall, tenant, scope).token(sub))
    }
    const media = parseMediaId(ids.media) ?? newMediaId()
    const revocable = (link: string) =>
      linkTo(path, media, (target) => links.signFor(media, target, { expires: nowSeconds() + 60, link }))
    switch (credential) {
      case 'an expired token':
        return bearer(jwt.sign({ sub: 'alice', tenant: 'acme', exp: 1_700_000_000 }, SECRET))
      case 'a token of another issuer':
        return bearer(jwt.sign({ sub: 'alice', tenant: 'acme' }, 'x'.repeat(32), { expiresIn: 60 }))
      case 'a ticket of its upload':
        return bearer(token)
      case 'a ticket of another upload':
        return bearer((await ticket()).token)
      case 'a used ticket':
        return bearer(used)
      case 'a revoked ticket': {
        const { id, token: revoked } = await ticket()
        await acme('service').as('backend')(`/api/v1/tickets/${id}`, { method: 'DELETE' })
        return bearer(revoked)
      }
      case 'a stream ticket of its owner':
        return { query: `?ticket=${streamTickets.own}` }
      case 'a stream ticket of another owner':
        return { query: `?ticket=${streamTickets.other}` }
      case 'a link to it':
        return { query: linkTo(path, media, (target) => links.sign(media, target)) }
      case 'a link to something else':
        return { query: linkTo(path, media, (target) => links.sign(newMediaId(), target)) }
      case 'an expired link':
        return {
          query: linkTo(path, media, (target) => signedPath(key, media, target, { expires: 1_700_000_000 })),
        }
      case 'a revocable link to it':
        return { query: revocable(link) }
      case 'a revoked link to it':
        return { query: revocable(await storeLink(media, { isRevoked: true })) }
      case 'a link to it with the id of another':
        return { query: revocable((await subjects()).link) }
      case 'a link of its application':
      case 'a link of another application': {
        const key = credential === 'a link of its application' ? 'own' : 'foreign'
        return {
          query: linkTo(path, media, (target) =>
            signedByApplication(`/api/v1/media/${media}/${target}`, { key }),
          ),
        }
      }
      default:
        return {}
    }
  }

  async function outcomeOf(route: Declared, credential: Credential): Promise<Outcome | number> {
    const made = isDirect(route) ? await directUpload() : await subjects()
    const subject = subjectOf(route)
    const { method, path, headers, body } = requestOf(route, subject && made.ids[subject], {
      link: made.link,
    })
    const { query = '', headers: more = {} }: { query?: string; headers?: object } = await shown(
      credential,
      path,
      made,
    )
    const controller = new AbortController()
    const answer = await fetch(landfall.url + path + query, {
      method,
      headers: { ...headers, ...more },
      body: body ?? null,
      redirect: 'manual',
      signal: controller.signal,
    })
    controller.abort()
    await answer.body?.cancel().catch(() => {})
    return [401, 403, 404].includes(answer.status) ? answer.status : 'in'
  }

  it.each(ROUTES.map((route) => [`${route.method.toUpperCase()} ${route.path}`, route] as const))(
    '%s is let in as docs/api.md says, and never otherwise',
    async (_name, route) => {
      const all = [...Object.keys(TOKENS), ...OTHERS]
      const outcomes: [Credential, Outcome | number][] = []
      for (const credential of all) outcomes.push([credential, await outcomeOf(route, credential)])
      expect(outcomes).toEqual(all.map((credential) => [credential, expected(route, credential)]))
    },
    60_000,
  )

  it('has a test for each kind of access that a route may have', () => {
    const kinds = new Set<Access>(ROUTES.map(({ access }) => access))
    const named = ROUTES.filter(({ path, access }) => path.includes('/:id') && access !== 'public')
    expect(named.filter((route) => subjectOf(route) === undefined).map(({ path }) => path)).toEqual([])
    expect(kinds.size).toBeGreaterThan(6)
  })

  it('is for the owner whom it names, if its caller acts for that one, whoever asks', async () => {
    const names = fc.constantFrom('alice', 'bob', 'backend')
    const tenants = fc.constantFrom('acme', 'globex', null)
    const scopes = fc.constantFrom(undefined, 'service' as const, 'admin' as const)
    await fc.assert(
      fc.asyncProperty(names, tenants, scopes, names, tenants, async (sub, tenant, scope, owner, of) => {
        const caller: Caller = { tenant, sub, ...(scope && { scope }) }
        const query = `?owner=${owner}${of === null ? '' : `&tenant=${of}`}`
        // Without a tenant in the query, that of the caller is meant.
        const named = { sub: owner, tenant: of ?? tenant }
        const target = inTenant(landfall, tenant, scope)
        const created = await target.as(sub)(`/files${query}`, {
          method: 'POST',
          headers: { 'Tus-Resumable': '1.0.0', 'Upload-Length': '2000' },
        })
        expect(created.status).toBe(reaches(caller, named) ? 201 : 403)
        if (created.status !== 201) return
        const id = created.headers.get('Location')?.split('/').at(-1)
        const row = await landfall.db
          .selectFrom('landfall.uploads')
          .select('owner_id')
          .where('id', '=', id as never)
          .executeTakeFirstOrThrow()
        expect<OwnerId>(row.owner_id).toBe(ownerIn(named.tenant, named.sub))
      }),
      { numRuns: 150 },
    )
  })
})
