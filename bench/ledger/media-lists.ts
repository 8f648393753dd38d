import { sql } from 'kysely'
import type { Ledger } from '../../ledger/database.ts'
import type { OwnerId } from '../../ledger/ids.ts'
import {
  listMedia,
  MAX_READ,
  type MediaFilter,
  type MediaListQuery,
  type MediaSort,
} from '../../ledger/media-list.ts'
import { namePattern } from '../../server/api/name-pattern.ts'

export type NamedList = readonly [name: string, query: MediaListQuery]

const LIMIT = 100
const DAY = 86_400_000
const SORTS = (['createdAt', 'name', 'size', 'duration'] as const).flatMap((key) =>
  [true, false].map((isDescending): MediaSort => ({ key, isDescending })),
)
const nameOf = ({ key, isDescending }: MediaSort) => `${isDescending ? '-' : ''}${key}`

/** Every filter of a list, with much, little and nothing to find, in every order; and pages far from the first. */
export async function mediaLists(db: Ledger, ownerId: OwnerId): Promise<NamedList[]> {
  const { rows } = await sql<{ id: string; sha256: string }>`
    select id, sha256 from landfall.media where owner_id = ${ownerId} order by created_at offset 1000 limit 1`.execute(
    db,
  )
  const [some] = rows
  const filters: Record<string, MediaFilter> = {
    'no filter': {},
    'kind=image': { kind: 'image' },
    'kind=audio, which there is not': { kind: 'audio' },
    'status=ready': { status: 'ready' },
    'status=failed, which there is not': { status: 'failed' },
    'kind=video&status=processing, which there are not together': { kind: 'video', status: 'processing' },
    'one sha256': { sha256: some?.sha256 },
    'attached to anything of a type': { attachedType: 'course' },
    'attached to one thing': { attachedType: 'course', attachedId: '7' },
    'attached to nothing that there is': { attachedType: 'nothing' },
    'attached to one thing&kind=video': { attachedType: 'course', attachedId: '7', kind: 'video' },
    'name of one': { name: namePattern('no such name') },
    'name of all': { name: namePattern('URLAUB') },
    'created on a day': {
      createdAfter: new Date(Date.now() - 20 * DAY),
      createdBefore: new Date(Date.now() - 19 * DAY),
    },
    'created for a month': { createdAfter: new Date(Date.now() - 30 * DAY) },
  }
  const lists: NamedList[] = []
  for (const sort of SORTS) {
    for (const [name, filter] of Object.entries(filters))
      lists.push([`by ${nameOf(sort)}, ${name}`, { ownerId, sort, filter, limit: LIMIT }])
    const first = { ownerId, sort, filter: {}, limit: LIMIT, offset: MAX_READ - LIMIT }
    lists.push([`by ${nameOf(sort)}, the last page with a number`, first])
    const { next } = await listMedia(db, first)
    lists.push([`by ${nameOf(sort)}, the page behind it`, { ...first, offset: 0, after: next }])
  }
  for (const sort of SORTS.filter(({ key }) => key === 'createdAt')) {
    const deleted = { ownerId, sort, filter: { status: 'deleted' as const }, limit: LIMIT }
    lists.push([`by ${nameOf(sort)}, deleted`, deleted])
    lists.push([
      `by ${nameOf(sort)}, deleted, of a kind that there is not`,
      { ...deleted, filter: { status: 'deleted', kind: 'audio' } },
    ])
  }
  return lists
}
