import { type RawBuilder, sql } from 'kysely'
import type { EventType } from './event-types.ts'

// Events are written by the statement that makes what they tell of, from the rows that it has changed.

type Rows = {
  /** Those of which it is true; all of them where nothing is said. */
  where?: RawBuilder<unknown>
  /** What else is told, as jsonb. */
  data?: RawBuilder<unknown>
}

/** An event of each row of `uploads` that the expression named `from` returns: `id`, `media_id`, `owner_id`. */
export const uploadEvent = (from: string, type: EventType, rows: Rows = {}): RawBuilder<unknown> =>
  eventsFrom(from, type, sql`id, media_id`, rows)

/** An event of each row of `media` that the expression named `from` returns: `id`, `upload_id`, `owner_id`. */
export const mediaEvent = (from: string, type: EventType, rows: Rows = {}): RawBuilder<unknown> =>
  eventsFrom(from, type, sql`upload_id, id`, rows)

// The type is part of the text, so that a prepared statement has one parameter less.
const eventsFrom = (
  from: string,
  type: EventType,
  ids: RawBuilder<unknown>,
  { where = sql`true`, data = sql`null::jsonb` }: Rows,
) => sql`select ${sql.lit(type)}, ${ids}, owner_id, ${data} from ${sql.table(from)} where ${where}`

/** Writes events, in this order. */
export const logEvents = (...events: readonly RawBuilder<unknown>[]): RawBuilder<unknown> => sql`
  insert into landfall.events (type, upload_id, media_id, owner_id, data) ${sql.join(events, sql` union all `)}`
