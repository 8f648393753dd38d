import { type Kysely, sql } from 'kysely'

/** Which streams of a file are its picture and its sound, the size of the picture as stored, and why renditions of it were not made. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    alter table landfall.media
      add column picture_stream integer,
      add column sound_stream integer,
      add column coded_width integer,
      add column coded_height integer,
      add column renditions_skipped text`.execute(db)
}
