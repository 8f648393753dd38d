import { createHmac } from 'node:crypto'
import type { z } from 'zod'
import type { Ledger, LedgerTransaction } from '../../ledger/database.ts'
import { newErasureId, type OwnerId, ownerOf } from '../../ledger/ids.ts'
import { beginErasure, COUNTED, type Erasure, findErasure } from '../../ledger/owner-erasures.ts'
import { erasurePath } from '../../storage/signed-path.ts'
import type { Principal } from '../auth/principal.ts'
import type { AddressesOf } from '../http/addresses.ts'
import { notFound } from '../http/errors.ts'
import type { Log } from '../process/log.ts'
import { OWNER } from '../routes/param.ts'
import { route } from '../routes/route.ts'
import { json } from './answers.ts'
import { OwnerErasure } from './schemas.ts'

export type OwnersServices = {
  db: Ledger
  addressesOf: AddressesOf
  /** Of the hashes by which reports are found. */
  erasureKey: Buffer
  enqueueErasure: (trx: LedgerTransaction, erasureId: string) => Promise<void>
  /** Publishes that there is a job for an erasure. */
  announceErasure: (erasureId: string) => void
  log: Pick<Log, 'info'>
}

const OF_OWNER = { params: { id: OWNER } } as const

/** `/api/v1/owners`: what a backend does with an owner as a whole. */
export const ownersRoutes = [
  route('delete', '/api/v1/owners/:id', 'service', {
    ...OF_OWNER,
    answers: { 202: json(OwnerErasure) },
    summary: 'Erases an owner: [everything that there is of it](#erasing-an-owner)',
    description: 'The address of the report is in `Location`. Of an owner of whom nothing is known as well.',
    async handle({ request, response, who }, services: OwnersServices) {
      const { addressesOf, announceErasure, db, enqueueErasure, log } = services
      const subject = subjectOf(who, services)
      const { erasure, isNew } = await beginErasure(db, { ...subject, id: newErasureId() }, enqueueErasure)
      if (isNew) {
        announceErasure(erasure.id)
        // Without the id of the owner: lines of the log stay.
        const ownerHash = erasure.owner_hash.toString('base64url')
        log.info(
          { erasureId: erasure.id, ownerHash, requestedBy: ownerOf(callerOf(who)), requestId: request.id },
          'the erasure of an owner was requested',
        )
      }
      response
        .status(202)
        .set('Location', addressesOf(request).location(erasurePath(who.ownerId)))
        .set('Cache-Control', 'no-store')
        .json(erasureView(erasure, who.ownerId))
    },
  }),
  route('get', '/api/v1/owners/:id/erasure', 'service', {
    ...OF_OWNER,
    answers: { 200: json(OwnerErasure) },
    summary: 'The report of the last erasure of an owner',
    async handle({ response, who }, services: OwnersServices) {
      const erasure = await findErasure(services.db, subjectOf(who, services))
      if (!erasure) throw notFound()
      response.set('Cache-Control', 'no-store').json(erasureView(erasure, who.ownerId))
    },
  }),
]

const subjectOf = ({ ownerId }: Principal, { erasureKey }: OwnersServices) => ({
  ownerId,
  hash: createHmac('sha256', erasureKey).update(ownerId).digest(),
})

const callerOf = ({ callerId, ownerId }: Principal): OwnerId => callerId ?? ownerId

/** What an erasure leaves, whatever it removed. */
const KEPT = [
  { what: 'report', detail: 'This report, under a keyed hash of the owner, for RECORD_RETENTION.' },
  { what: 'metrics', detail: 'Counters of the metrics, which have no ids, names or owners.' },
  { what: 'logs', detail: 'Lines that were logged before. Their retention is up to whoever collects them.' },
  { what: 'backups', detail: 'Backups that were made before. Erase the owner again after restoring one.' },
  { what: 'receivers', detail: 'What webhooks and the analysis engine were told or sent before.' },
]

const KEPT_OF_NEWER = {
  what: 'newer',
  detail:
    'What the owner has begun since startedAt, and with it the limits, counters and turns of the owner.',
}

const NO_COUNTS = Object.fromEntries(COUNTED.map((name) => [name, 0])) as Record<
  (typeof COUNTED)[number],
  number
>

const erasureView = (erasure: Erasure, owner: OwnerId): z.output<typeof OwnerErasure> => ({
  id: erasure.id,
  ...ownerOf(owner),
  state: erasure.finished_at ? 'done' : 'running',
  startedAt: erasure.started_at.toISOString(),
  finishedAt: erasure.finished_at?.toISOString() ?? null,
  counts: { ...NO_COUNTS, ...erasure.counts },
  left: erasure.left,
  waitsFor: { requests: 0, storage: 0, lateCalls: 0, webhooks: 0, ...erasure.waits },
  kept: erasure.is_owner_left ? [...KEPT, KEPT_OF_NEWER] : KEPT,
})
