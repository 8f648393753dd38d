import { type QueryExecutorProvider, sql } from 'kysely'
import type { IndexChange } from './migration.ts'

// Owners of different tenants become different owners: `owner_id` is the tenant, U+001F, and the owner. Rows without a
// tenant stay as they are. Servers of the releases before find nothing of owners with a tenant afterwards, and create
// nothing for them: where AUTH_TENANT is used, they have to be stopped first (docs/upgrading.md).

const BATCH = 500

/** Owners with a tenant have it in their id. */
export async function up(db: QueryExecutorProvider): Promise<void> {
  for (const table of ['uploads', 'media']) {
    await sql`
      alter table ${sql.id('landfall', table)}
        drop constraint if exists ${sql.id(`${table}_owner_in_tenant`)},
        add constraint ${sql.id(`${table}_owner_in_tenant`)}
          check (tenant_id is null or starts_with(owner_id, tenant_id || E'\\x1f')) not valid`.execute(db)
  }
}

/** Uploads of owners with a tenant, by their ids, with everything that names the owner beside them. */
export async function backfill(db: QueryExecutorProvider, after: string): Promise<string | undefined> {
  const { rows } = await sql<{ last: string | null }>`
    with old as materialized (
      select id, owner_id, tenant_id || E'\\x1f' || owner_id as new_id from landfall.uploads
       where tenant_id is not null and not starts_with(owner_id, tenant_id || E'\\x1f') and id > ${after}
       order by id limit ${sql.lit(BATCH)} for update
    ), uploads as (
      update landfall.uploads u set owner_id = old.new_id from old where u.id = old.id
    ), media as (
      update landfall.media m set owner_id = old.new_id from old where m.upload_id = old.id
    ), events as (
      update landfall.events e set owner_id = old.new_id from old where e.upload_id = old.id
    ), deliveries as (
      update landfall.webhook_deliveries d set owner_id = old.new_id from old
       where d.upload_id = old.id and d.owner_id = old.owner_id
    ), limits as (
      -- They were meant for the owner, in whatever tenant.
      insert into landfall.quotas (owner_id, bytes_limit, uploads_limit)
      select distinct old.new_id, q.bytes_limit, q.uploads_limit
        from old join landfall.quotas q on q.owner_id = old.owner_id
      on conflict (owner_id) do nothing
    ), recounted as (
      -- The reaper counts them anew.
      insert into landfall.quota_usage (owner_id, inconsistent_since)
      select distinct id, now() from (select owner_id as id from old union all select new_id from old) as both_ids
       order by id
      on conflict (owner_id) do update set inconsistent_since = coalesce(quota_usage.inconsistent_since, now())
    )
    select max(id) as last from old`.execute(db)
  return rows[0]?.last ?? undefined
}

export const indexes: readonly IndexChange[] = [
  {
    create: 'webhook_deliveries_by_tenant',
    on: `landfall.webhook_deliveries (split_part(owner_id, E'\\x1f', 1), position desc) where strpos(owner_id, E'\\x1f') > 0`,
  },
]
