import { sql } from 'kysely'
import { Batches, perLedger, usageExecutor } from './batches.ts'
import { type Ledger, type LedgerTransaction, PREPARED } from './database.ts'
import type { OwnerId, UploadId } from './ids.ts'
import { withOwnerLock } from './owner-share.ts'
import { type Quota, type QuotaDefaults, readQuota } from './quotas.ts'
import { UPLOAD_COLUMNS, type UploadRow } from './uploads.ts'

export type NewUpload = {
  id: UploadId
  ownerId: OwnerId
  tenantId: string | null
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
}

/** Unfinished partial uploads that are allowed for each open upload of the quota. */
export const PARTIALS_PER_UPLOAD = 16

export type CreateResult = { kind: 'created'; upload: UploadRow } | QuotaRefusal

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
  const given = items
    .filter(({ upload }) => !upload.isPartial)
    .map(({ upload }) => ({
      id: upload.id,
      owner_id: upload.ownerId,
      tenant_id: upload.tenantId,
      protocol: upload.protocol,
      size: upload.size,
      metadata: upload.metadata,
      metadata_header: upload.metadataHeader,
      digests: upload.digests,
      wanted_digest: upload.wantedDigest,
      filename: upload.filename,
      declared_type: upload.declaredType,
      storage_backend: upload.storageBackend,
      storage_key: upload.storageKey,
      reserved_bytes: upload.reservedBytes,
      lives_for: upload.expiresAfterMs / 1000,
    }))
  const { rows } = await sql<UploadRow>`
    ${PREPARED} with given as materialized (
      select * from jsonb_to_recordset(${JSON.stringify(given)}::jsonb) as g (
        id text, owner_id text, tenant_id text, protocol text, size bigint, metadata jsonb, metadata_header text, digests jsonb, wanted_digest text, filename text,
        declared_type text, storage_backend text, storage_key text, reserved_bytes bigint, lives_for float8)
    ), wanted as materialized (
      select owner_id, sum(reserved_bytes)::bigint as bytes, count(*) as uploads from given group by owner_id
    ), free as materialized (
      select owner_id from landfall.quota_usage
       where owner_id = any(select owner_id from wanted) for update skip locked
    ), limited as materialized (
      select w.*, coalesce(q.bytes_limit, ${defaults.bytes}::bigint) as bytes_limit,
             coalesce(q.uploads_limit, ${defaults.uploads}::bigint) as uploads_limit
        from free join wanted w using (owner_id) left join landfall.quotas q using (owner_id)
    ), reserved as (
      update landfall.quota_usage u
         set reserved_bytes = u.reserved_bytes + l.bytes, open_uploads = u.open_uploads + l.uploads
        from limited l
       where u.owner_id = l.owner_id
         and u.open_uploads + l.uploads <= ${defaults.openUploads}::bigint
         and (l.bytes_limit is null or u.used_bytes + u.reserved_bytes + l.bytes <= l.bytes_limit)
         and (l.uploads_limit is null or u.open_uploads + u.finished_uploads + l.uploads <= l.uploads_limit)
      returning u.owner_id
    ), created as (
      insert into landfall.uploads
        (id, owner_id, tenant_id, protocol, state, size, metadata, metadata_header, digests, wanted_digest, filename, declared_type,
         storage_backend, storage_key, reserved_bytes, expires_at, reap_after)
      select id, owner_id, tenant_id, protocol, 'open', size, metadata, metadata_header, digests, wanted_digest, filename, declared_type,
             storage_backend, storage_key, reserved_bytes, now() + make_interval(secs => lives_for), now() + make_interval(secs => lives_for)
        from given join reserved using (owner_id)
      returning ${UPLOAD_COLUMNS}
    ), logged as (
      insert into landfall.events (type, upload_id, owner_id)
      select 'upload.created', id, owner_id from created
    )
    select * from created`.execute(db)
  const created = new Map(rows.map((row) => [row.id, row]))
  return items.map(({ upload: { id } }) => {
    const row = created.get(id)
    return row && { kind: 'created', upload: row }
  })
}

async function createAlone(db: Ledger, upload: NewUpload, defaults: QuotaDefaults): Promise<CreateResult> {
  return await withOwnerLock(db, upload.ownerId, (trx) => createIn(trx, upload, defaults))
}

async function createIn(
  trx: LedgerTransaction,
  upload: NewUpload,
  defaults: QuotaDefaults,
): Promise<CreateResult> {
  const bytesLimit = sql`coalesce((select bytes_limit from landfall.quotas where owner_id = ${upload.ownerId}), ${defaults.bytes}::bigint)`
  const uploadsLimit = sql`coalesce((select uploads_limit from landfall.quotas where owner_id = ${upload.ownerId}), ${defaults.uploads}::bigint)`
  const counts = upload.isPartial ? { uploads: 0, partials: 1 } : { uploads: 1, partials: 0 }
  const maxPartials = defaults.openUploads * PARTIALS_PER_UPLOAD
  const { rows } = await sql<UploadRow>`
    with reserved as (
      insert into landfall.quota_usage as u (owner_id, reserved_bytes, open_uploads, open_partials)
      select ${upload.ownerId}, ${upload.reservedBytes}::bigint, ${counts.uploads}::bigint, ${counts.partials}::bigint
       where ${defaults.openUploads}::bigint >= 1
         and (${bytesLimit} is null or ${upload.reservedBytes}::bigint <= ${bytesLimit})
         and (${uploadsLimit} is null or ${uploadsLimit} >= 1)
      on conflict (owner_id) do update set
        reserved_bytes = u.reserved_bytes + excluded.reserved_bytes,
        open_uploads = u.open_uploads + excluded.open_uploads,
        open_partials = u.open_partials + excluded.open_partials
       where u.open_uploads + excluded.open_uploads <= ${defaults.openUploads}::bigint
         and u.open_partials + excluded.open_partials <= ${maxPartials}::bigint
         and (${bytesLimit} is null
              or u.used_bytes + u.reserved_bytes + excluded.reserved_bytes <= ${bytesLimit})
         and (${uploadsLimit} is null or u.open_uploads + u.finished_uploads < ${uploadsLimit})
      returning owner_id
    ), created as (
      insert into landfall.uploads
        (id, owner_id, tenant_id, protocol, state, size, metadata, metadata_header, digests, wanted_digest, filename, declared_type,
         concat, is_partial, storage_backend, storage_key, reserved_bytes, expires_at, reap_after)
      select ${upload.id}, owner_id, ${upload.tenantId}::text, ${upload.protocol}, 'open', ${upload.size}::bigint,
             ${JSON.stringify(upload.metadata)}::jsonb, ${upload.metadataHeader}::text, ${upload.digests && JSON.stringify(upload.digests)}::jsonb, ${upload.wantedDigest}::text,
             ${upload.filename}::text, ${upload.declaredType}::text, ${upload.concat}::text, ${upload.isPartial},
             ${upload.storageBackend}, ${upload.storageKey}, ${upload.reservedBytes}::bigint,
             now() + make_interval(secs => ${upload.expiresAfterMs / 1000}),
             now() + make_interval(secs => ${upload.expiresAfterMs / 1000})
        from reserved
      returning ${UPLOAD_COLUMNS}
    ), logged as (
      insert into landfall.events (type, upload_id, owner_id)
      select 'upload.created', id, owner_id from created
    )
    select * from created`.execute(trx)
  const row = rows[0]
  if (row) return { kind: 'created', upload: row }

  const quota = await readQuota(trx, upload.ownerId, defaults)
  // Quota became free between the two statements: the client's next attempt gets it.
  return refusedBy(quota, upload) ?? { kind: 'too-many-open', quota }
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
