import { type RawBuilder, sql } from 'kysely'
import type { UploadId } from './ids.ts'
import type { InSql } from './prepared.ts'

/** An upload under the lease that its request holds. */
export type Fenced = { id: UploadId; fence: string }

const isLeaseOf = ({ id, fence }: InSql<Fenced>) => sql`upload_id = ${id} and fence = ${fence}::uuid`

// Expressions named `lease`: a row as long as the lease is current, none once another has taken it over. Whatever changes
// an upload joins it, so the row of the lease is locked before that of the upload, and a takeover is either before the
// statement, which then does nothing, or after it.

/** The lease is kept. */
export const lockedLease = (upload: InSql<Fenced>): RawBuilder<unknown> => sql`lease as (
  select upload_id, contended from landfall.upload_locks where ${isLeaseOf(upload)} for update
)`

/** The lease is given back. */
export const releasedLease = (upload: InSql<Fenced>): RawBuilder<unknown> => sql`lease as (
  delete from landfall.upload_locks where ${isLeaseOf(upload)} returning upload_id, contended
)`
