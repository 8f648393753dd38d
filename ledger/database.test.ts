import { sql } from 'kysely'
import { afterEach, beforeEach, describe, expect, inject, it, vi } from 'vitest'
import { type Ledger, openDatabase } from './database.ts'

/** What PostgreSQL says to a session that an administrator ends, as a restart does with all of them. */
const TERMINATED = expect.objectContaining({ code: '57P01' })

describe('a connection that the database ends', () => {
  let db: Ledger
  let administrator: Ledger
  let errors: Error[]

  beforeEach(() => {
    errors = []
    const options = { connectionString: inject('postgresUrl'), maxConnections: 1, applicationName: 'test' }
    db = openDatabase({ ...options, onPoolError: (error) => errors.push(error) })
    administrator = openDatabase({ ...options, onPoolError: () => {} })
  })
  afterEach(async () => {
    await db.destroy()
    await administrator.destroy()
  })

  const terminate = async (pid: number) =>
    void (await sql`select pg_terminate_backend(${pid})`.execute(administrator))

  it('between two statements of a transaction fails that transaction, and nothing else', async () => {
    let reached = 'the first statement'
    const transaction = db.transaction().execute(async (trx) => {
      await terminate(await backendOf(trx))
      // Nobody is asking anything of the connection now: an error that no one listens to ends a process.
      await vi.waitFor(() => expect(errors).toContainEqual(TERMINATED), { timeout: 5_000 })
      reached = 'the second statement'
      await sql`select 1`.execute(trx)
      reached = 'the commit'
    })
    await expect(transaction).rejects.toThrow()
    expect(reached).toBe('the second statement')
    await expect(backendOf(db)).resolves.toBeGreaterThan(0)
  })

  it('while nobody uses it is reported, and replaced', async () => {
    const before = await backendOf(db)
    await terminate(before)
    await vi.waitFor(() => expect(errors).toContainEqual(TERMINATED), { timeout: 5_000 })
    expect(await backendOf(db)).not.toBe(before)
  })
})

async function backendOf(db: Ledger): Promise<number> {
  const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(db)
  return rows[0]?.pid ?? 0
}
