import { sql } from 'kysely'
import { expect } from 'vitest'
import type { Landfall } from './landfall.ts'

/** How often the job of a media item was put back since something is away that it needs. */
export async function waitsOf({ db }: Pick<Landfall, 'db'>, mediaId: string): Promise<number> {
  const { rows } = await sql<{ waits: number | null }>`
    select max((data ->> 'waits')::integer) as waits from pgboss.job
     where data ->> 'mediaId' = ${mediaId}`.execute(db)
  return rows[0]?.waits ?? 0
}

/** Returns when it was put back so often. */
export async function untilWaiting(
  landfall: Pick<Landfall, 'db'>,
  mediaId: string | null,
  { times = 1 } = {},
): Promise<void> {
  await expect
    .poll(() => waitsOf(landfall, mediaId ?? ''), { timeout: 30_000, interval: 50 })
    .toBeGreaterThanOrEqual(times)
}
