import type { IndexChange } from './migration.ts'

/** Lists of media items by name, size and length, of what they are attached to, and of what can be restored. */
export async function up(): Promise<void> {
  // Only indexes.
}

export const indexes: readonly IndexChange[] = [
  // By the bytes of UTF-8, so that no library for locales has a say in it, and with an entry that always fits.
  {
    create: 'media_by_name',
    on: `landfall.media (owner_id, left(lower(coalesce(filename, '') collate "C"), 200), id) where status <> 'deleted'`,
  },
  { create: 'media_by_size', on: `landfall.media (owner_id, size, id) where status <> 'deleted'` },
  {
    create: 'media_by_duration',
    on: `landfall.media (owner_id, coalesce(duration_seconds, -1), id) where status <> 'deleted'`,
  },
  {
    create: 'media_by_attachment',
    on: `landfall.media (owner_id, attached_type, attached_id) where attached_type is not null`,
  },
  {
    create: 'media_deleted',
    on: `landfall.media (owner_id, created_at desc, id desc) where status = 'deleted' and purged_at is null`,
  },
]
