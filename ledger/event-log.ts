import { type RawBuilder, sql } from 'kysely'
import { type EventType, eventsThat } from './event-types.ts'

// Events are written by the statement that makes what they tell of, from the rows that it has changed, and with them
// the deliveries of webhooks.

type Rows = {
  /** Those of which it is true; all of them where nothing is said. */
  where?: RawBuilder<unknown>
  /** What else is told, as jsonb. */
  data?: RawBuilder<unknown>
}

/** Events of one type, and the rows that they are written from. */
export type NewEvents = { type: EventType; rows: RawBuilder<unknown> }

/** An event of each row of `uploads` that the expression named `from` returns: `id`, `media_id`, `owner_id`. */
export const uploadEvent = (from: string, type: EventType, rows: Rows = {}): NewEvents =>
  eventsFrom(from, type, sql`id, media_id`, rows)

/** An event of each row of `media` that the expression named `from` returns: `id`, `upload_id`, `owner_id`. */
export const mediaEvent = (from: string, type: EventType, rows: Rows = {}): NewEvents =>
  eventsFrom(from, type, sql`upload_id, id`, rows)

const TOLD = new Set(eventsThat('isTold'))

// Keeps the trigger quiet that writes the deliveries for earlier releases: migrations/0014-told-events.ts.
const WITH_DELIVERIES = sql`set_config('landfall.writes_deliveries', 'on', true) = 'on'`

// The type is part of the text, so that a prepared statement has one parameter less.
const eventsFrom = (
  from: string,
  type: EventType,
  ids: RawBuilder<unknown>,
  { where = sql`true`, data = sql`null::jsonb` }: Rows,
): NewEvents => ({
  type,
  rows: sql`select ${sql.lit(type)}, ${ids}, owner_id, ${data} from ${sql.table(from)}
     where (${where})${TOLD.has(type) ? sql` and ${WITH_DELIVERIES}` : sql``}`,
})

/**
 * Common table expressions that write events, in this order, as `logged`, and for those that webhooks tell of a delivery
 * to every endpoint in use, as `deliveries`.
 */
export const logEvents = (...events: readonly NewEvents[]): RawBuilder<unknown> => {
  const told = events.map(({ type }) => type).filter((type) => TOLD.has(type))
  const rows = sql.join(
    events.map((event) => event.rows),
    sql` union all `,
  )
  const log = sql`insert into landfall.events (type, upload_id, media_id, owner_id, data) ${rows}`
  if (told.length === 0) return sql`logged as (${log})`
  return sql`logged as (
    ${log} returning id, type, upload_id, media_id, owner_id
  ), deliveries as (
    insert into landfall.webhook_deliveries (id, endpoint_id, event_id, upload_id, media_id, owner_id, type)
    select 'msg_' || replace(gen_random_uuid()::text, '-', ''), e.id, l.id, l.upload_id, l.media_id, l.owner_id, l.type
      from logged l cross join landfall.webhook_endpoints e
     where e.disabled_at is null and l.type in (${sql.join(told.map((type) => sql.lit(type)))})
     -- Their positions are in the order of the events.
     order by l.id
  )`
}
