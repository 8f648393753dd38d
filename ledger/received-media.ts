import { type RawBuilder, sql } from 'kysely'

/** Makes the media items of uploads that were received, the rows of `uploads` that the expression named `from` returns. */
export const mediaOf = (from: string): RawBuilder<unknown> => sql`
  insert into landfall.media
    (id, upload_id, owner_id, tenant_id, filename, size, status, storage_backend, storage_key)
  select media_id, id, owner_id, tenant_id, filename, size, 'processing', storage_backend, storage_key
    from ${sql.table(from)}`
