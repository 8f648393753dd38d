import { type Kysely, sql } from 'kysely'

/** Files that are neither video, image nor sound. */
export async function up(db: Kysely<unknown>): Promise<void> {
  // Existing rows met the former constraint: they need not be read again.
  await sql`
    alter table landfall.media
      drop constraint if exists media_kind_check,
      add constraint media_kind_check
        check (kind in ('video', 'image', 'audio', 'document', 'file')) not valid`.execute(db)
}
