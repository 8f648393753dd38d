import { sql } from 'kysely'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { freshDatabase } from '../test/support/landfall.ts'
import { created, leaseOf, newUpload, openLedger, UNLIMITED } from '../test/support/ledger.ts'
import { createUpload } from './creation.ts'
import type { Ledger } from './database.ts'
import { finishUpload } from './finishing.ts'
import { newMediaId, type OwnerId } from './ids.ts'
import { appendAndRelease, appendBytes, findUpload } from './uploads.ts'

const EXPIRY = { afterMs: 86_400_000, maxAgeMs: 7 * 86_400_000 }
const alice = 'alice' as OwnerId
let db: Ledger

beforeEach(async () => {
  db = openLedger(await freshDatabase(), 1)
})
afterEach(() => db.destroy())

it('prepares every statement of a creation and of a PATCH once, whatever its parameters', async () => {
  await sendFile(10)
  await sendFile(20)
  const before = await preparedTexts()
  await sendFile(30)
  expect(await preparedTexts()).toEqual(before)
  for (const part of [
    'insert into landfall.uploads',
    'set "offset" =',
    "state = 'received', media_id",
    'for update',
  ])
    expect(before.some((text) => text.includes(part))).toBe(true)
})

/** In three requests: one keeps its lease for a second append, one releases it, one finishes. */
async function sendFile(size: number): Promise<void> {
  const id = created(await createUpload(db, { ...newUpload('alice'), size, reservedBytes: size }, UNLIMITED))
  const held = { id, ownerId: alice }
  const fence = await leaseOf(db, 'alice', id)
  expect(await appendBytes(db, { ...held, fence, offset: 0, to: 1 }, EXPIRY)).toMatchObject({
    kind: 'committed',
  })
  expect(await appendAndRelease(db, { ...held, fence, offset: 1, to: 2 }, EXPIRY)).toMatchObject({
    kind: 'committed',
  })
  expect(await findUpload(db, alice, id)).toMatchObject({ offset: 2, size, state: 'open' })
  const last = { ...held, fence: await leaseOf(db, 'alice', id), offset: 2, to: size }
  expect(await finishUpload(db, last, newMediaId(), async () => {})).toMatchObject({ kind: 'committed' })
}

async function preparedTexts(): Promise<string[]> {
  const { rows } = await sql<{ statement: string }>`
    select statement from pg_prepared_statements order by statement`.execute(db)
  return rows.map(({ statement }) => statement)
}
