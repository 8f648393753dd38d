import { sql } from 'kysely'
import { Registry } from 'prom-client'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Ledger } from '../../ledger/database.ts'
import type { EventType } from '../../ledger/event-types.ts'
import { SETTLED_AFTER_MS } from '../../ledger/events.ts'
import { freshDatabase } from '../../test/support/landfall.ts'
import { openLedger } from '../../test/support/ledger.ts'
import { parseFigures } from '../../test/support/prometheus.ts'
import { ledgerCollectors } from './ledger-figures.ts'

let db: Ledger

beforeAll(async () => {
  db = openLedger(await freshDatabase())
})
afterAll(() => db?.destroy())

async function happen(type: EventType, agoMs: number): Promise<void> {
  await sql`insert into landfall.events (type, upload_id, owner_id, created_at)
    values (${type}, 'upload', 'alice', now() - make_interval(secs => ${agoMs / 1000}))`.execute(db)
}

/** The outcomes that are not 0, as a server that was just started counts them from here on. */
function counting() {
  const collector = ledgerCollectors(db).find(({ name }) => name === 'outcomes')
  return async () => {
    const register = new Registry()
    await collector?.collect(register)
    const { samples } = parseFigures(await register.metrics())
    expect(samples.size).toBe(7)
    return Object.fromEntries([...samples].filter(([, count]) => count > 0))
  }
}

it('counts outcomes from the first time it is asked on, each once, when all before it must have been seen', async () => {
  await happen('upload.received', SETTLED_AFTER_MS + 1000)
  const outcomes = counting()
  expect(await outcomes()).toEqual({})

  await happen('upload.received', SETTLED_AFTER_MS + 1000)
  await happen('upload.received', SETTLED_AFTER_MS + 1000)
  await happen('upload.created', SETTLED_AFTER_MS + 1000)
  await happen('media.failed', SETTLED_AFTER_MS + 1000)
  await happen('media.ready', 0)
  const counted = {
    'landfall_uploads_total{outcome="received"}': 2,
    'landfall_media_total{outcome="failed"}': 1,
  }
  expect(await outcomes()).toEqual(counted)
  expect(await outcomes()).toEqual(counted)

  await sql`update landfall.events set created_at = now() - interval '1 hour'`.execute(db)
  expect(await outcomes()).toEqual({ ...counted, 'landfall_media_total{outcome="ready"}': 1 })
  expect(await counting()()).toEqual({})
})
