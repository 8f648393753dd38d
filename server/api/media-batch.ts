import { z } from 'zod'
import { AttachedTo } from '../../hooks/described-patch.ts'
import { METADATA_LIMITS } from '../../hooks/description-limits.ts'
import { type MediaId, type OwnerId, parseMediaId } from '../../ledger/ids.ts'
import { deleteMediaItems } from '../../ledger/media.ts'
import { patchMedia } from '../../ledger/media-patch.ts'
import { reprocessMedia } from '../../ledger/reprocessing.ts'
import { restoreMedia } from '../../ledger/restoring.ts'
import { notFound, Problem } from '../http/errors.ts'
import { readInput } from '../http/read-input.ts'
import { route } from '../routes/route.ts'
import { json } from './answers.ts'
import { notReprocessable } from './media.ts'
import type { MediaServices } from './media-access.ts'
import { requireAttachable } from './media-patch.ts'
import { mediaPurged } from './media-restore.ts'

const MAX_IDS = 1000
/** Of one transaction: others who change something of this owner wait for no more than this. */
const AT_ONCE = 100

const Id = z.string().max(100)
export const MediaBatch = z
  .strictObject({
    action: z.enum(['delete', 'restore', 'attach', 'process']),
    ids: z.array(Id).min(1).max(MAX_IDS).describe('of media items'),
    attachedTo: AttachedTo.nullable().optional().describe('with `attach`; null: to nothing'),
  })
  .meta({ id: 'MediaBatch' })

const Result = z.discriminatedUnion('status', [
  z.object({ id: z.string(), status: z.literal('ok') }),
  z.object({
    id: z.string(),
    status: z.literal('error'),
    problem: z.object({ code: z.string(), detail: z.string() }),
  }),
])
export const MediaBatchResults = z.object({ results: z.array(Result) }).meta({ id: 'MediaBatchResults' })

/** What became of an item; one that is in none of these was not found. */
type Outcomes = Map<MediaId, Problem | undefined>
type Action = (ids: readonly MediaId[]) => Promise<Outcomes>

export const mediaBatchRoutes = [
  route('post', '/api/v1/media/batch', 'token', {
    body: { types: ['application/json'], schema: MediaBatch, read: { as: 'json', maxBytes: 256 * 1024 } },
    answers: { 200: json(MediaBatchResults) },
    summary: 'Deletes, restores, attaches or processes up to 1,000 media items',
    description:
      '`{ action, ids, attachedTo? }`: [batches](#batches). The answer is 200, whatever became of each.',
    async handle({ request, response, who }, services: MediaServices) {
      const { action, ids, attachedTo } = readInput(MediaBatch, request.body)
      if ((action === 'attach') !== (attachedTo !== undefined))
        throw new Problem('invalid-request', 'attachedTo: goes with the action "attach", which needs it')
      if (attachedTo) requireAttachable(who, attachedTo)
      const { ownerId } = who
      const actions: Record<typeof action, Action> = {
        delete: (some) => deleteSome(services, ownerId, some, request.id),
        restore: (some) => restoreSome(services, ownerId, some),
        attach: (some) => attachSome(services, ownerId, some, attachedTo ?? null),
        process: (some) => processSome(services, ownerId, some),
      }
      const known = [...new Set(ids.flatMap((id) => parseMediaId(id) ?? []))]
      const outcomes: Outcomes = new Map()
      for (let at = 0; at < known.length; at += AT_ONCE)
        for (const [id, outcome] of await actions[action](known.slice(at, at + AT_ONCE)))
          outcomes.set(id, outcome)
      response.json({ results: ids.map((id) => resultOf(id, outcomes)) })
    },
  }),
]

function resultOf(id: string, outcomes: Outcomes): z.output<typeof Result> {
  const mediaId = parseMediaId(id)
  const problem = mediaId && outcomes.has(mediaId) ? outcomes.get(mediaId) : notFound()
  if (!problem) return { id, status: 'ok' }
  return { id, status: 'error', problem: { code: problem.code, detail: problem.message } }
}

async function deleteSome(
  { db, bus, ends, enqueueRemoval }: MediaServices,
  ownerId: OwnerId,
  ids: readonly MediaId[],
  requestId: unknown,
): Promise<Outcomes> {
  const deleted = await deleteMediaItems(db, ownerId, ids, enqueueRemoval)
  for (const { uploadId: id } of deleted) void bus.publish({ t: 'event', id, queue: 'removal' })
  const uploadIds = deleted.map(({ uploadId }) => uploadId)
  await ends.byId(db, 'media.deleted', uploadIds, { requestId })
  return new Map(deleted.map(({ id }) => [id, undefined]))
}

async function restoreSome(
  { db, bus, enqueueProcessing }: MediaServices,
  ownerId: OwnerId,
  ids: readonly MediaId[],
): Promise<Outcomes> {
  const found = await restoreMedia(db, ownerId, ids, enqueueProcessing)
  for (const { uploadId: id, outcome } of found)
    if (outcome === 'restored') void bus.publish({ t: 'event', id, queue: 'again' })
  return new Map(found.map(({ id, outcome }) => [id, outcome === 'purged' ? mediaPurged() : undefined]))
}

async function attachSome(
  { db, bus }: MediaServices,
  ownerId: OwnerId,
  ids: readonly MediaId[],
  attachedTo: z.output<typeof AttachedTo> | null,
): Promise<Outcomes> {
  const outcomes: Outcomes = new Map()
  for (const id of ids) {
    const result = await patchMedia(db, { ownerId, id }, { attachedTo }, METADATA_LIMITS)
    if (result.kind !== 'patched') continue
    if (result.isChanged) void bus.publish({ t: 'event', id: result.uploadId, queue: null })
    outcomes.set(id, undefined)
  }
  return outcomes
}

async function processSome(
  { db, bus, enqueueProcessing }: MediaServices,
  ownerId: OwnerId,
  ids: readonly MediaId[],
): Promise<Outcomes> {
  const outcomes: Outcomes = new Map()
  for (const id of ids) {
    const result = await reprocessMedia(db, { id, ownerId }, enqueueProcessing)
    if (result.kind === 'absent') continue
    if (result.kind === 'queued') void bus.publish({ t: 'event', id: result.uploadId, queue: 'again' })
    outcomes.set(id, result.kind === 'over' ? notReprocessable(result.status) : undefined)
  }
  return outcomes
}
