import { createHash } from 'node:crypto'
import { sql } from 'kysely'
import type { Ledger } from './database.ts'

/** Why nothing is sent to an endpoint: the configuration has another or none, or it said that it wants no more. */
export type DisabledReason = 'dropped' | 'gone'

export type Endpoint = { id: string; isDisabled: boolean }

const idOf = (url: string): string => `we_${createHash('sha256').update(url).digest('hex').slice(0, 32)}`

/**
 * Makes this the endpoint that events are told to, and no other; undefined: none is. Deliveries that wait for
 * another one end as failed. An endpoint that has answered 410 stays disabled until `enableEndpoint`.
 */
export async function configureEndpoint(db: Ledger, url: string): Promise<Endpoint>
export async function configureEndpoint(db: Ledger, url: undefined): Promise<undefined>
export async function configureEndpoint(db: Ledger, url: string | undefined): Promise<Endpoint | undefined> {
  const id = url === undefined ? undefined : idOf(url)
  return await db.transaction().execute(async (trx) => {
    // In one order, or two workers that start with different ones would wait for each other.
    await trx.selectFrom('webhook_endpoints').select('id').orderBy('id').forNoKeyUpdate().execute()
    await trx
      .updateTable('webhook_endpoints')
      .set({ disabled_at: sql<Date>`now()`, disabled_reason: 'dropped' satisfies DisabledReason })
      .where('disabled_at', 'is', null)
      .$if(id !== undefined, (others) => others.where('id', '<>', id ?? ''))
      .execute()
    await failDropped(trx)
    if (id === undefined || url === undefined) return undefined
    const { disabled_at } = await trx
      .insertInto('webhook_endpoints')
      .values({ id, url })
      .onConflict((conflict) =>
        conflict.column('id').doUpdateSet({
          disabled_at: sql`case webhook_endpoints.disabled_reason
            when 'dropped' then null else webhook_endpoints.disabled_at end`,
          disabled_reason: sql`nullif(webhook_endpoints.disabled_reason, 'dropped')`,
        }),
      )
      .returning('disabled_at')
      .executeTakeFirstOrThrow()
    return { id, isDisabled: disabled_at !== null }
  })
}

/** The endpoint wants no more (410): no event is told to it from now on, and what waits for it ends as failed. */
export async function disableEndpoint(db: Ledger, id: string): Promise<void> {
  await db
    .updateTable('webhook_endpoints')
    .set({ disabled_at: sql<Date>`now()`, disabled_reason: 'gone' satisfies DisabledReason })
    .where('id', '=', id)
    .where('disabled_at', 'is', null)
    .execute()
  await failDropped(db)
}

/** Takes back that the endpoint wants no more. Returns false when nothing was to be taken back. */
export async function enableEndpoint(db: Ledger, url: string): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('webhook_endpoints')
    .set({ disabled_at: null, disabled_reason: null })
    .where('id', '=', idOf(url))
    .where('disabled_reason', '=', 'gone' satisfies DisabledReason)
    .executeTakeFirst()
  return numUpdatedRows > 0n
}

/**
 * Ends what waits for an endpoint that is not in use. A delivery may come after its endpoint was disabled, in a
 * transaction that had begun before, so this is done again from time to time.
 */
export async function failDropped(db: Ledger): Promise<void> {
  await db
    .updateTable('webhook_deliveries')
    .from('webhook_endpoints')
    .set({ status: 'failed', lease: null, last_error: 'the endpoint is not in use any more' })
    .whereRef('webhook_endpoints.id', '=', 'webhook_deliveries.endpoint_id')
    .where('webhook_endpoints.disabled_at', 'is not', null)
    .where('webhook_deliveries.status', '=', 'pending')
    // What is in flight may still arrive.
    .where((is) =>
      is.or([
        is('webhook_deliveries.lease', 'is', null),
        is('webhook_deliveries.next_attempt_at', '<=', sql<Date>`now()`),
      ]),
    )
    .execute()
}
