import { sql } from 'kysely'
import { type CreateResult, createUpload, type NewUpload } from '../../ledger/creation.ts'
import { type Ledger, openDatabase } from '../../ledger/database.ts'
import { newUploadId, type OwnerId, type UploadId } from '../../ledger/ids.ts'
import { takeLease } from '../../ledger/leases.ts'
import type { QuotaDefaults } from '../../ledger/quotas.ts'

/** A ledger without a server, with a pool of its own, as each server has one. The caller destroys it. */
export const openLedger = (connectionString: string, maxConnections = 10): Ledger =>
  openDatabase({ connectionString, maxConnections, applicationName: 'test', onPoolError: () => {} })

export const UNLIMITED: QuotaDefaults = { bytes: null, uploads: null, openUploads: 1_000_000 }
export const SIZE = 1000

/** An upload of `SIZE` bytes that could be created. */
export function newUpload(owner: string, changes: Partial<NewUpload> = {}): NewUpload {
  const id = newUploadId()
  return {
    id,
    ownerId: owner as OwnerId,
    protocol: 'tus-1.0',
    size: SIZE,
    reservedBytes: SIZE,
    metadata: { filename: 'ä.png' },
    metadataHeader: null,
    ticketId: null,
    terms: null,
    concat: null,
    isPartial: false,
    digests: null,
    wantedDigest: null,
    filename: 'ä.png',
    declaredType: 'image/png',
    storageBackend: 'disk',
    storageKey: `uploads/${id}`,
    expiresAfterMs: 60_000,
    ...changes,
  }
}

/** Lets the owner be one who has uploaded before, and so can go with others. */
export async function createFirst(db: Ledger, ...owners: string[]): Promise<void> {
  for (const owner of owners) await createUpload(db, newUpload(owner), UNLIMITED)
}

export const created = (result: CreateResult): UploadId => {
  if (result.kind !== 'created') throw new Error(`not created: ${result.kind}`)
  return result.upload.id
}

/** Takes the lease of an upload as a request would. */
export async function leaseOf(db: Ledger, owner: string, uploadId: UploadId): Promise<string> {
  const fence = crypto.randomUUID()
  const taken = await takeLease(db, {
    uploadId,
    ownerId: owner as OwnerId,
    holder: 'test',
    fence,
    ttlMs: 60_000,
  })
  if (taken.kind !== 'taken') throw new Error(`not taken: ${taken.kind}`)
  return fence
}

/** Locks the usage row of an owner until it is told to let go, as a transaction elsewhere would. */
export async function lockUsage(db: Ledger, owner: string): Promise<() => Promise<void>> {
  const locked = Promise.withResolvers<void>()
  const release = Promise.withResolvers<void>()
  const transaction = db.transaction().execute(async (trx) => {
    await sql`select 1 from landfall.quota_usage where owner_id = ${owner} for update`.execute(trx)
    locked.resolve()
    await release.promise
  })
  await Promise.race([locked.promise, transaction])
  return async () => {
    release.resolve()
    await transaction
  }
}
