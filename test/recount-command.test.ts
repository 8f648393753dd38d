import { sql } from 'kysely'
import { expect, it, onTestFinished } from 'vitest'
import { ORDINARY_DEADLINES } from '../ledger/deadlines.ts'
import { runCommand } from './support/command.ts'
import { startLandfall } from './support/landfall.ts'

it('recount has the time that a large ledger takes: it does not have the deadlines of requests', async () => {
  const landfall = await startLandfall({ withoutWorker: true })
  onTestFinished(() => landfall.close())
  const { connectionString, dataDirectory, db } = landfall
  await sql`insert into landfall.quota_usage (owner_id, used_bytes) values ('alice', 7)`.execute(db)
  // Whatever it is that its statement takes so long for.
  const locked = Promise.withResolvers<void>()
  const holding = db.transaction().execute(async (trx) => {
    await sql`lock table landfall.media in access exclusive mode`.execute(trx)
    locked.resolve()
    await sql`select pg_sleep(${(ORDINARY_DEADLINES.lockMs + 8_000) / 1000})`.execute(trx)
  })
  await Promise.race([locked.promise, holding])
  const { exitCode, stdout } = await runCommand(dataDirectory, ['recount'], {
    DATABASE_URL: connectionString,
  })
  await holding
  expect(stdout).toContain('alice: usedBytes 7 -> 0')
  expect(exitCode).toBe(0)
}, 60_000)
