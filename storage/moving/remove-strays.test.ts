import { sql } from 'kysely'
import { expect, it, onTestFinished } from 'vitest'
import { freshDatabase } from '../../test/support/landfall.ts'
import { openLedger } from '../../test/support/ledger.ts'
import { StorageAway } from '../objects.ts'
import { removeStrays, type StrayFailure } from './remove-strays.ts'

it('tells of copies that cannot be removed once of each batch and backend, and tries them again later', async () => {
  const db = openLedger(await freshDatabase())
  onTestFinished(() => db.destroy())
  await sql`
    insert into landfall.stray_copies (upload_id, backend, storage_keys, is_begun, due_at)
    select 'u' || i, b, '{key}', false, now() - interval '1 minute'
      from generate_series(1, 75) i, unnest('{disk,s3}'::text[]) b`.execute(db)
  const failures: StrayFailure[] = []
  const storage = { objectsOf: () => Promise.reject(new StorageAway()) }
  const removed = await removeStrays({ db, storage, onFailure: (failure) => void failures.push(failure) })
  expect(removed).toBe(0)
  expect(failures.length).toBeLessThanOrEqual(4)
  expect(failures.reduce((sum, { uploads }) => sum + uploads, 0)).toBe(150)
  expect(failures[0]?.error).toBeInstanceOf(StorageAway)
  const { rows } = await sql`select 1 from landfall.stray_copies where due_at > now()`.execute(db)
  expect(rows).toHaveLength(150)
})
