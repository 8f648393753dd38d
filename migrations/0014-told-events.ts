import { type Kysely, sql } from 'kysely'

/**
 * Statements that write events write their webhook deliveries, too, and say so by a setting of their transaction. The
 * trigger is for the releases before, which do neither. A release after this one can drop it, its function and the
 * setting, with 14 as its minimum reader.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    create or replace trigger enqueue_webhooks after insert on landfall.events for each row
      -- The only other event of those releases.
      when (new.type <> 'upload.created' and current_setting('landfall.writes_deliveries', true) is distinct from 'on')
      execute function landfall.enqueue_webhooks()`.execute(db)
}
