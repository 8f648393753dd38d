import { createHash } from 'node:crypto'
import { z } from 'zod'
import { parseMediaId } from '../../ledger/ids.ts'
import {
  listMedia,
  MAX_READ,
  type MediaFilter,
  type MediaPosition,
  type MediaSort,
  type MediaSortKey,
} from '../../ledger/media-list.ts'
import { parseJson } from '../../system/parse-json.ts'
import { Problem } from '../http/errors.ts'
import { route } from '../routes/route.ts'
import { json } from './answers.ts'
import type { MediaServices } from './media-access.ts'
import { namePattern } from './name-pattern.ts'
import { MediaList, MediaListQuery } from './schemas.ts'
import { mediaView } from './views.ts'

export const mediaListRoutes = [
  route('get', '/api/v1/media', 'token', {
    query: MediaListQuery,
    answers: { 200: json(MediaList) },
    summary: 'The media items of the owner, newest first unless `sort` says otherwise',
    description: '`{ items: [media item…], nextCursor }`: [lists](#lists-of-media-items)',
    async handle({ request, response, who, query }, { db, views, addressesOf }: MediaServices) {
      const addresses = addressesOf(request)
      const { limit, cursor, page } = query
      if (cursor !== undefined && page !== undefined)
        throw new Problem('invalid-request', 'page: does not go with a cursor')
      const offset = ((page ?? 1) - 1) * limit
      if (offset + limit > MAX_READ)
        throw new Problem(
          'invalid-request',
          `page: the first ${MAX_READ} items have page numbers; nextCursor leads on from any page`,
        )
      const sort = sortOf(query.sort)
      const filter = filterOf(query)
      if (filter.status === 'deleted' && sort.key !== 'createdAt')
        throw new Problem('invalid-request', 'sort: deleted media items are sorted by createdAt')
      const list = listId(sort, filter)
      const after = cursor === undefined ? undefined : readCursor(cursor, list, sort.key)
      const { rows, next } = await listMedia(db, { ownerId: who.ownerId, sort, filter, limit, after, offset })
      response.json({
        items: rows.map((row) => mediaView(row, views, addresses)),
        nextCursor: next ? writeCursor(next, list) : null,
      })
    },
  }),
]

type Query = z.output<typeof MediaListQuery>

function sortOf(sort: Query['sort']): MediaSort {
  const isDescending = sort.startsWith('-')
  return { key: (isDescending ? sort.slice(1) : sort) as MediaSortKey, isDescending }
}

function filterOf(query: Query): MediaFilter {
  const { kind, status, attachedType, attachedId, sha256, createdAfter, createdBefore, name } = query
  if (attachedId !== undefined && attachedType === undefined)
    throw new Problem('invalid-request', 'attachedId: goes with attachedType')
  return {
    kind,
    status,
    attachedType,
    attachedId,
    sha256: sha256?.toLowerCase(),
    createdAfter: createdAfter === undefined ? undefined : new Date(createdAfter),
    createdBefore: createdBefore === undefined ? undefined : new Date(createdBefore),
    name: name === undefined ? undefined : namePattern(name),
  }
}

/** Tells a list from those with another order or other filters, in which its cursors mean nothing. */
const listId = (sort: MediaSort, filter: MediaFilter): string =>
  createHash('sha256')
    .update(JSON.stringify([sort, filter]))
    .digest('base64url')
    .slice(0, 12)

const writeCursor = ({ key, id }: MediaPosition, list: string): string =>
  Buffer.from(JSON.stringify([list, key, id])).toString('base64url')

// Only values that a row could have reach the ledger: Postgres refuses a NUL, for example.
const KEYS: Record<MediaSortKey, z.ZodType<string>> = {
  createdAt: z.string().regex(/^\d{1,18}$/),
  name: z
    .string()
    .max(400)
    .refine((text) => text.isWellFormed() && !text.includes('\0')),
  size: z.string().regex(/^\d{1,18}$/),
  duration: z.string().regex(/^(-1|\d{1,20}(\.\d{1,20})?(e[+-]\d{1,2})?)$/),
}

/** Fails with `invalid-request` for anything that this server did not write for this list. */
function readCursor(text: string, list: string, key: MediaSortKey): MediaPosition {
  const Cursor = z.tuple([z.literal(list), KEYS[key], z.string()])
  const result = Cursor.safeParse(parseJson(Buffer.from(text, 'base64url').toString('utf8')))
  const id = result.success ? parseMediaId(result.data[2]) : undefined
  if (!result.success || !id)
    throw new Problem(
      'invalid-request',
      'cursor: is not a nextCursor value from this server for this sort and these filters',
    )
  return { key: result.data[1], id }
}
