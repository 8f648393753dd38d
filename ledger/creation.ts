import { type RawBuilder, sql } from 'kysely'
import { Batches, perLedger, usageExecutor } from './batches.ts'
import type { Ledger, LedgerTransaction } from './database.ts'
import { logEvents, uploadEvent } from './event-log.ts'
import { type OwnerId, ownerOf, type UploadId } from './ids.ts'
import { withOwnerLock } from './owner-share.ts'
import { prepared, type Slots } from './prepared.ts'
import { PARTIALS_PER_UPLOAD, type Quota, type QuotaDefaults, readQuota, reserve } from './quotas.ts'
import type { UploadTerms } from './schema.ts'
import { lockPlace } from './upload-tickets.ts'
import { UPLOAD_COLUMNS, type UploadRow } from './uploads.ts'

export type NewUpload = {
  id: UploadId
  ownerId: OwnerId
  protocol: string
  /** Bytes; null when the client declares it later. */
  size: number | null
  /** Bytes of quota to reserve: the size, or the largest allowed while the size is unknown. */
  reservedBytes: number
  metadata: Record<string, string | null>
  /** Upload-Metadata and Upload-Concat as sent by the client; null without. */
  metadataHeader: string | null
  concat: string | null
  /** A part of a concatenation (tus 1.0 § concatenation). */
  isPartial: boolean
  /** The client's digests of the whole file: algorithm → base64. */
  digests: Record<string, string> | null
  /** The algorithm of the digest that the client asks for. */
  wantedDigest: string | null
  filename: string | null
  declaredType: string | null
  storageBackend: string
  storageKey: string
  expiresAfterMs: number
  /** The ticket that it takes a place of, and its own limits; null without. */
  ticketId: string | null
  terms: UploadTerms | null
}

export type CreateResult =
  | { kind: 'created'; upload: UploadRow }
  /** No upload can be begun with its ticket any more. */
  | { kind: 'ticket-spent' }
  | QuotaRefusal

export type QuotaRefusal =
  | { kind: 'too-many-open' | 'too-many-partials' | 'quota-uploads'; quota: Quota }
  /** `wanted`: bytes that it would have reserved. */
  | { kind: 'quota-bytes'; quota: Quota; wanted: number }

/**
 * Reserves quota and inserts the upload, state `open`, in one statement. Creations of one owner queue up on the owner's
 * usage row, so parallel ones cannot overbook.
 */
export async function createUpload(
  db: Ledger,
  upload: NewUpload,
  defaults: QuotaDefaults,
): Promise<CreateResult> {
  // A ticket is locked beside the owner's usage.
  if (upload.ticketId !== null) return await createAlone(db, upload, defaults)
  return await creations(db).add({ upload, defaults })
}

type Reservation = Pick<NewUpload, 'isPartial' | 'reservedBytes'>

type Creation = { upload: NewUpload; defaults: QuotaDefaults }

const creations = perLedger(
  (db) =>
    new Batches<Creation, CreateResult>(
      {
        ownerOf: ({ upload }) => upload.ownerId,
        together: (items) => createTogether(db, items),
        alone: ({ upload, defaults }) => createAlone(db, upload, defaults),
        locksOwner: true,
      },
      usageExecutor(db),
    ),
)

/**
 * Creates the uploads of every owner whose quota suffices for all of theirs. Other owners, new ones and those locked
 * elsewhere are left to `createAlone`.
 */
async function createTogether(db: Ledger, items: readonly Creation[]): Promise<(CreateResult | undefined)[]> {
  const defaults = items[0]?.defaults
  if (!defaults || items.some((item) => item.defaults !== defaults)) return []
  const uploads = items.map(({ upload }) => upload).filter(({ isPartial }) => !isPartial)
  const rows = await insertOfFree(db, { given: inJson(uploads), ...defaults })
  const created = new Map(rows.map((row) => [row.id, row]))
  return items.map(({ upload: { id } }) => {
    const row = created.get(id)
    return row && { kind: 'created', upload: row }
  })
}

/** New uploads as the parameter `given`. */
function inJson(uploads: readonly NewUpload[]): string {
  const rows = uploads.map((upload) => ({
    id: upload.id,
    owner_id: upload.ownerId,
    tenant_id: ownerOf(upload.ownerId).tenantId,
    protocol: upload.protocol,
    size: upload.size,
    metadata: upload.metadata,
    metadata_header: upload.metadataHeader,
    digests: upload.digests,
    wanted_digest: upload.wantedDigest,
    filename: upload.filename,
    declared_type: upload.declaredType,
    concat: upload.concat,
    is_partial: upload.isPartial,
    storage_backend: upload.storageBackend,
    storage_key: upload.storageKey,
    reserved_bytes: upload.reservedBytes,
    lives_for: upload.expiresAfterMs / 1000,
    ticket_id: upload.ticketId,
    terms: upload.terms,
  }))
  return JSON.stringify(rows)
}

type Given = { given: string }

/** New uploads as an expression named `given`. */
const givenAs = (json: RawBuilder<string>) => sql`given as materialized (
    select g.*, least(now() + make_interval(secs => lives_for), (terms ->> 'until')::timestamptz) as expires_at
      from jsonb_to_recordset(${json}::jsonb) as g (
        id text, owner_id text, tenant_id text, protocol text, size bigint, metadata jsonb, metadata_header text,
        digests jsonb, wanted_digest text, filename text, declared_type text, concat text, is_partial boolean,
        storage_backend text, storage_key text, reserved_bytes bigint, lives_for float8, ticket_id text, terms jsonb)
  )`

/** The rows of those uploads of `given` whose owners are in `reserved`, as `created`, and their events. */
const CREATED = sql`created as (
    insert into landfall.uploads
      (id, owner_id, tenant_id, protocol, state, size, metadata, metadata_header, digests, wanted_digest, filename,
       declared_type, concat, is_partial, storage_backend, storage_key, reserved_bytes, expires_at, reap_after,
       ticket_id, terms)
    select id, owner_id, tenant_id, protocol, 'open', size, metadata, metadata_header, digests, wanted_digest, filename,
           declared_type, concat, is_partial, storage_backend, storage_key, reserved_bytes, expires_at, expires_at,
           ticket_id, terms
      from given join reserved using (owner_id)
    returning ${UPLOAD_COLUMNS}
  ), ${logEvents(uploadEvent('created', 'upload.created'))}`

const quotaIn = (slot: Slots<QuotaDefaults>) => ({
  bytes: slot('bytes'),
  uploads: slot('uploads'),
  openUploads: slot('openUploads'),
})

const insertOfFree = prepared<Given & QuotaDefaults, UploadRow>(
  (slot) => sql`
    with ${givenAs(slot('given'))}, free as materialized (
      select owner_id from landfall.quota_usage
       where owner_id = any(select owner_id from given) for update skip locked
    ), wanted as (
      select given.* from given join free using (owner_id)
    ), reserved as (${reserve('wanted', quotaIn(slot))}), ${CREATED}
    select * from created`,
)

const insertWithin = prepared<Given & QuotaDefaults, UploadRow>(
  (slot) => sql`
    with ${givenAs(slot('given'))}, reserved as (${reserve('given', quotaIn(slot))}), ${CREATED}
    select * from created`,
)

const insertAnyway = prepared<Given, UploadRow>(
  (slot) => sql`
    with ${givenAs(slot('given'))}, reserved as (${reserve('given')}), ${CREATED}
    select * from created`,
)

async function createAlone(db: Ledger, upload: NewUpload, defaults: QuotaDefaults): Promise<CreateResult> {
  return await withOwnerLock(db, upload.ownerId, async (trx): Promise<CreateResult> => {
    if (!(await hasPlace(trx, upload))) return { kind: 'ticket-spent' }
    const [row] = await insertWithin(trx, { given: inJson([upload]), ...defaults })
    if (row) return { kind: 'created', upload: row }

    const quota = await readQuota(trx, upload.ownerId, defaults)
    // Quota became free between the two statements: the client's next attempt gets it.
    return refusedBy(quota, upload) ?? { kind: 'too-many-open', quota }
  })
}

/** Whether its ticket has a place for it, which nobody else takes before the transaction is over. */
export const hasPlace = async (
  trx: LedgerTransaction,
  upload: Pick<NewUpload, 'ticketId' | 'isPartial' | 'reservedBytes'>,
): Promise<boolean> => upload.ticketId === null || (await lockPlace(trx, upload.ticketId, upload))

/** Inserts an upload, and reserves its quota, of which was found before that there is room for it. */
export async function insertUpload(trx: LedgerTransaction, upload: NewUpload): Promise<void> {
  await insertAnyway(trx, { given: inJson([upload]) })
}

/** What an owner's quota says against an upload, before anything is reserved; undefined where it suffices. */
export async function quotaRefusal(
  db: Ledger,
  upload: Reservation & { ownerId: OwnerId },
  defaults: QuotaDefaults,
): Promise<QuotaRefusal | undefined> {
  return refusedBy(await readQuota(db, upload.ownerId, defaults), upload)
}

function refusedBy(quota: Quota, { isPartial, reservedBytes }: Reservation): QuotaRefusal | undefined {
  const { bytes, uploads } = quota
  if (!isPartial && uploads.open >= uploads.maxOpen) return { kind: 'too-many-open', quota }
  if (isPartial && uploads.partials >= uploads.maxOpen * PARTIALS_PER_UPLOAD)
    return { kind: 'too-many-partials', quota }
  if (bytes.limit !== null && bytes.used + bytes.reserved + reservedBytes > bytes.limit)
    return { kind: 'quota-bytes', quota, wanted: reservedBytes }
  if (uploads.limit !== null && uploads.open + uploads.finished >= uploads.limit)
    return { kind: 'quota-uploads', quota }
  return undefined
}
