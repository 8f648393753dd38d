import type { IndexChange } from './migration.ts'

/** Counts the owners of a tenant of whom files wait, without reading all that the tenant has. */
export async function up(): Promise<void> {
  // An index is all there is to it.
}

export const indexes: readonly IndexChange[] = [
  {
    create: 'media_of_tenants_waiting',
    on: "landfall.media (tenant_id, owner_id) where status = 'processing' and tenant_id is not null",
  },
]
