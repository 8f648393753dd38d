import { type RawBuilder, sql } from 'kysely'

/** Makes the media items of uploads that were received, the rows of `uploads` that the expression named `from` returns. */
export const mediaOf = (from: string): RawBuilder<unknown> => sql`
  insert into landfall.media
    (id, upload_id, owner_id, tenant_id, filename, size, status, storage_backend, storage_key, attached_type, attached_id,
     title, description, told_captions, metadata)
  select f.media_id, f.id, f.owner_id, f.tenant_id, f.filename, f.size, 'processing', f.storage_backend, f.storage_key,
         d.attached_type, d.attached_id, d.title, d.description, d.told_captions, d.metadata
    from ${sql.table(from)} f cross join lateral landfall.described(f.metadata) d`
