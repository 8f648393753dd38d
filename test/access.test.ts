import jwt from 'jsonwebtoken'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { newMediaId, parseMediaId } from '../ledger/ids.ts'
import { ROUTES } from '../server/api/table.ts'
import { ContentLinks, type LinkTarget } from '../server/auth/content-links.ts'
import type { Access } from '../server/routes/route.ts'
import { linkKey } from '../storage/signed-path.ts'
import { type Landfall, SECRET, startLandfall } from './support/landfall.ts'
import { requestOf } from './support/routes.ts'
import { inTenant } from './support/tenant.ts'

const CREDENTIALS = [
  'nothing',
  'an expired token',
  'a token',
  'a service token',
  'a ticket',
  'an upload ticket',
  'a link',
] as const
const MORE = ['a link to something else', 'a signature of somebody else'] as const
type Credential = (typeof CREDENTIALS)[number] | (typeof MORE)[number]

const LET_IN: Record<Access, readonly Credential[]> = {
  public: [...CREDENTIALS, ...MORE],
  // Not even told that it is there.
  'dev-code': [],
  token: ['a token', 'a service token'],
  'token-or-upload-ticket': ['a token', 'a service token', 'an upload ticket'],
  service: ['a service token'],
  'token-or-ticket': ['a token', 'a service token', 'a ticket'],
  'token-or-link': ['a token', 'a service token', 'a link'],
  // A token gets as far as a 404, that of the owner as well.
  link: ['a token', 'a service token', 'an upload ticket', 'a link'],
  'service-or-signature': ['a service token'],
}

describe('every route of the table', () => {
  let landfall: Landfall
  let links: ContentLinks
  let ticket: string
  let uploadTicket: string

  beforeAll(async () => {
    landfall = await startLandfall({ withoutWorker: true, page: true })
    links = new ContentLinks(await linkKey(landfall.db))
    const given = await landfall.as('alice')('/api/v1/events/tickets', { method: 'POST' })
    ticket = ((await given.json()) as { ticket: string }).ticket
    const service = inTenant(landfall, null, 'service').as('backend')
    const issued = await service('/api/v1/tickets?owner=alice', { method: 'POST' })
    uploadTicket = ((await issued.json()) as { token: string }).token
  })
  afterAll(() => landfall?.close())

  const linkTo = (path: string) => {
    const [, id = '', target = ''] = /^\/api\/v1\/media\/([^/]+)\/(.+)$/.exec(path) ?? []
    return `?${links.sign(parseMediaId(id) ?? newMediaId(), target as LinkTarget).split('?')[1]}`
  }

  /** What a credential adds to a request of this path. */
  function shown(credential: Credential, path: string): { query?: string; headers?: Record<string, string> } {
    const bearer = (claims?: object) => ({
      headers: { Authorization: `Bearer ${landfall.token('alice', claims)}` },
    })
    switch (credential) {
      case 'nothing':
        return {}
      case 'an expired token':
        return {
          headers: { Authorization: `Bearer ${jwt.sign({ sub: 'alice', exp: 1_700_000_000 }, SECRET)}` },
        }
      case 'a token':
        return bearer()
      case 'a service token':
        return bearer({ scope: 'service' })
      case 'a ticket':
        return { query: `?ticket=${ticket}` }
      case 'an upload ticket':
        return { headers: { Authorization: `Bearer ${uploadTicket}` } }
      case 'a link':
        return { query: linkTo(path) }
      case 'a link to something else':
        return { query: linkTo(path.replace(/[\w-]{22}/, newMediaId())) }
      case 'a signature of somebody else':
        return { headers: { 'webhook-signature': 'v1,AAAA', 'webhook-id': 'x', 'webhook-timestamp': '0' } }
    }
  }

  it.each(ROUTES.map((route) => [`${route.method.toUpperCase()} ${route.path}`, route] as const))(
    '%s lets in whom it says, and nobody else',
    async (_name, route) => {
      const letIn: Credential[] = []
      for (const credential of [...CREDENTIALS, ...MORE]) {
        const { method, path, headers, body } = requestOf(route)
        const { query = '', headers: more } = shown(credential, path)
        const answer = await fetch(landfall.url + path + query, {
          method,
          headers: { ...headers, ...more },
          body: body ?? null,
        })
        await answer.body?.cancel()
        const isHidden = route.access === 'dev-code' && answer.status === 404
        if (![401, 403].includes(answer.status) && !isHidden) letIn.push(credential)
      }
      expect(letIn).toEqual([...CREDENTIALS, ...MORE].filter((one) => LET_IN[route.access].includes(one)))
    },
  )
})
