import { createHash } from 'node:crypto'
import { sql } from 'kysely'
import type { Ledger } from './database.ts'

/** Why an endpoint gets no deliveries: it is not configured any more, or it answered 410. */
export type DisabledReason = 'dropped' | 'gone'

export type Endpoint = { id: string; isDisabled: boolean }

const idOf = (url: string): string => `we_${createHash('sha256').update(url).digest('hex').slice(0, 32)}`

/**
 * Makes this the only endpoint; undefined: there is none. Waiting deliveries of others end as failed. An endpoint that
 * has answered 410 stays disabled until `enableEndpoint`.
 */
export async function configureEndpoint(db: Ledger, url: string): Promise<Endpoint>
export async function configureEndpoint(db: Ledger, url: undefined): Promise<undefined>
export async function configureEndpoint(db: Ledger, url: string | undefined): Promise<Endpoint | undefined> {
  const id = url === undefined ? undefined : idOf(url)
  return await db.transaction().execute(async (trx) => {
    // In one order, to avoid deadlocks between workers that start with different endpoints.
    await trx.selectFrom('landfall.webhook_endpoints').select('id').orderBy('id').forNoKeyUpdate().execute()
    await trx
      .updateTable('landfall.webhook_endpoints')
      .set({ disabled_at: sql<Date>`now()`, disabled_reason: 'dropped' satisfies DisabledReason })
      .where('disabled_at', 'is', null)
      .$if(id !== undefined, (others) => others.where('id', '<>', id ?? ''))
      .execute()
    await failDropped(trx)
    if (id === undefined || url === undefined) return undefined
    const { disabled_at } = await trx
      .insertInto('landfall.webhook_endpoints')
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

/** The endpoint has answered 410: it gets no more deliveries, and waiting ones end as failed. */
export async function disableEndpoint(db: Ledger, id: string): Promise<void> {
  await db
    .updateTable('landfall.webhook_endpoints')
    .set({ disabled_at: sql<Date>`now()`, disabled_reason: 'gone' satisfies DisabledReason })
    .where('id', '=', id)
    .where('disabled_at', 'is', null)
    .execute()
  await failDropped(db)
}

/** Enables an endpoint that has answered 410. Returns false when it was not disabled. */
export async function enableEndpoint(db: Ledger, url: string): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('landfall.webhook_endpoints')
    .set({ disabled_at: null, disabled_reason: null })
    .where('id', '=', idOf(url))
    .where('disabled_reason', '=', 'gone' satisfies DisabledReason)
    .executeTakeFirst()
  return numUpdatedRows > 0n
}

/**
 * Ends deliveries that wait for a disabled endpoint. A transaction that had begun before can add one, so this is
 * repeated from time to time.
 */
export async function failDropped(db: Ledger): Promise<void> {
  await db
    .updateTable('landfall.webhook_deliveries as webhook_deliveries')
    .from('landfall.webhook_endpoints as webhook_endpoints')
    .set({ status: 'failed', lease: null, last_error: 'the endpoint is not in use any more' })
    .whereRef('webhook_endpoints.id', '=', 'webhook_deliveries.endpoint_id')
    .where('webhook_endpoints.disabled_at', 'is not', null)
    .where('webhook_deliveries.status', '=', 'pending')
    // One that is being sent may still arrive.
    .where((is) =>
      is.or([
        is('webhook_deliveries.lease', 'is', null),
        is('webhook_deliveries.next_attempt_at', '<=', sql<Date>`now()`),
      ]),
    )
    .execute()
}
