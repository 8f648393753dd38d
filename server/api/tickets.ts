import type { z } from 'zod'
import { readAcceptedTypes } from '../../content/accepted-types.ts'
import type { UploadPolicy } from '../../hooks/pre-create.ts'
import { limitsUnder } from '../../hooks/terms.ts'
import type { Ledger } from '../../ledger/database.ts'
import { describeUpload } from '../../ledger/description.ts'
import { newTicketId, ownerOf } from '../../ledger/ids.ts'
import {
  findTicket,
  issueTicket,
  listTickets,
  revokeTicket,
  type TicketRow,
  type TicketsOf,
} from '../../ledger/upload-tickets.ts'
import { actAs } from '../auth/acting.ts'
import { isAdmin, type Principal } from '../auth/principal.ts'
import { newTicketToken, ticketHash } from '../auth/upload-tickets.ts'
import { notFound, Problem } from '../http/errors.ts'
import { readInput } from '../http/read-input.ts'
import { TICKET } from '../routes/param.ts'
import { route } from '../routes/route.ts'
import { empty, json } from './answers.ts'
import { metadataOf } from './described-metadata.ts'
import { pageOf, readCursor, writeCursor } from './query.ts'
import { IssuedTicket, NewTicket, TicketList, TicketListQuery, Ticket as TicketSchema } from './schemas.ts'

export type TicketsServices = { db: Ledger; policy: UploadPolicy }

const OF_TICKET = { params: { id: TICKET } } as const

/** `/api/v1/tickets`: permissions to upload, which a backend gives to its clients. */
export const ticketsRoutes = [
  route('post', '/api/v1/tickets', 'service', {
    body: { types: ['application/json'], schema: NewTicket, read: { as: 'json', maxBytes: 64 * 1024 } },
    answers: { 201: json(IssuedTicket) },
    summary: 'Gives an upload ticket, whose `token` is told only now',
    async handle({ request, response, who, query: _ }, { db, policy }: TicketsServices) {
      const wanted = readInput(NewTicket, request.body ?? {})
      const { ownerId } = wanted.owner === undefined ? who : actAs(who, wanted.owner, wanted.tenant)
      if (who.isNamed && ownerId !== who.ownerId)
        throw new Problem('invalid-request', 'owner: differs from that of the query')
      const token = newTicketToken()
      const row = await issueTicket(db, {
        id: newTicketId(),
        tokenHash: ticketHash(token),
        ownerId,
        ...limitsOf(wanted, policy),
        metadata: metadataOf(wanted),
        uploadsAllowed: wanted.count,
        beginWithinSeconds: wanted.beginWithinSeconds,
        uploadWithinSeconds: wanted.uploadWithinSeconds,
      })
      response
        .status(201)
        .set('Cache-Control', 'no-store')
        .json({ ...ticketView(row), token } satisfies z.output<typeof IssuedTicket>)
    },
  }),
  route('get', '/api/v1/tickets', 'service', {
    query: TicketListQuery,
    answers: { 200: json(TicketList) },
    summary: 'The upload tickets of the tenant, or of one `owner`, newest first',
    description: '`{ items: [ticket…], nextCursor }`',
    async handle({ response, who, query }, { db }: TicketsServices) {
      const rows = await listTickets(db, {
        of: listedFor(who),
        limit: query.limit + 1,
        after: query.cursor === undefined ? undefined : afterTicket(query.cursor),
      })
      response.json(pageOf(rows, query.limit, ticketView, cursorAt))
    },
  }),
  route('get', '/api/v1/tickets/:id', 'service', {
    ...OF_TICKET,
    answers: { 200: json(TicketSchema) },
    summary: 'An upload ticket',
    async handle({ response, who, params }, { db }: TicketsServices) {
      const row = await findTicket(db, who.ownerId, params.id)
      if (!row) throw notFound()
      response.json(ticketView(row))
    },
  }),
  route('delete', '/api/v1/tickets/:id', 'service', {
    ...OF_TICKET,
    answers: { 204: empty('Revoked') },
    summary: 'Revokes an upload ticket',
    description: 'The next request with it is refused, also in the middle of an upload.',
    async handle({ response, who, params }, { db }: TicketsServices) {
      if (!(await revokeTicket(db, who.ownerId, params.id))) throw notFound()
      response.status(204).end()
    },
  }),
]

const PREFIX = 'tkt_'
const cursorAt = ({ id, createdAtMicros }: { id: string; createdAtMicros: string }) =>
  writeCursor({ createdAtMicros, id: id.slice(PREFIX.length) })
function afterTicket(cursor: string) {
  const { id, createdAtMicros } = readCursor(cursor)
  return { createdAtMicros, id: PREFIX + id }
}

/** Of a backend: of all owners for whom it acts, unless it names one. */
function listedFor(who: Principal): TicketsOf {
  if (who.isNamed) return { ownerId: who.ownerId }
  return isAdmin(who) && who.tenantId === null ? 'everybody' : { tenantId: who.tenantId }
}

type Wanted = z.output<typeof NewTicket>

/** Fails with `invalid-request` where nothing could be uploaded with them. */
function limitsOf({ maxSize, allowedTypes }: Wanted, policy: UploadPolicy) {
  if (maxSize !== null && (maxSize > policy.maxSize || maxSize < policy.minSize))
    throw new Problem(
      'invalid-request',
      `maxSize: takes ${policy.minSize} to ${policy.maxSize} bytes on this server`,
    )
  const types = allowedTypes?.join(',') ?? null
  if (types !== null) {
    if (!readAcceptedTypes(types))
      throw new Problem('invalid-request', 'allowedTypes: takes media types and ranges such as video/*')
    const { formats, others } = limitsUnder(policy, { types }).accepted
    if (formats.length === 0 && others.length === 0)
      throw new Problem('invalid-request', 'allowedTypes: this server accepts none of them')
  }
  return { maxSize, allowedTypes: types }
}

function ticketView(row: TicketRow): z.output<typeof TicketSchema> {
  const isUsed = row.used >= row.uploads_allowed
  return {
    id: row.id,
    ...ownerOf(row.owner_id),
    state: row.revoked_at ? 'revoked' : isUsed ? 'used' : row.is_over ? 'expired' : 'open',
    maxSize: row.max_size,
    allowedTypes: row.allowed_types?.split(',') ?? null,
    ...describeUpload(row.metadata),
    count: row.uploads_allowed,
    used: row.used,
    beginBefore: row.begin_before.toISOString(),
    uploadWithinSeconds: row.upload_within_seconds,
    createdAt: row.created_at.toISOString(),
    revokedAt: row.revoked_at?.toISOString() ?? null,
  }
}
