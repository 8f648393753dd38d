import { sql } from 'kysely'
import type { Ledger } from './database.ts'
import { run, valuesOf } from './rows.ts'

/** Longer than a probe takes, with all of its clean-up. */
const STALE_SECONDS = 60

/** Notes the key that a probe of links is about to store something at. */
export async function recordProbe(db: Ledger, key: string): Promise<void> {
  await run(db)`insert into landfall.link_probes (storage_key) values (${key})`
}

/** Forgets it, once nothing is there. */
export async function forgetProbe(db: Ledger, key: string): Promise<void> {
  await run(db)`delete from landfall.link_probes where storage_key = ${key}`
}

/** Keys of probes that a killed process, or one without its bucket, has left; for this caller alone for a minute. */
export async function staleProbes(db: Ledger): Promise<string[]> {
  return await valuesOf<string>(db)`
    update landfall.link_probes set began_at = now() where storage_key in (
      select storage_key from landfall.link_probes
       where began_at < now() - ${sql`make_interval(secs => ${STALE_SECONDS})`} limit 10 for update skip locked
    ) returning storage_key`
}
