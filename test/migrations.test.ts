import { sql } from 'kysely'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import type { Ledger } from '../ledger/database.ts'
import { migrateToLatest, requireSchema } from '../ledger/migrate.ts'
import { type Release, schemaProblem, schemaState, thisRelease } from '../ledger/schema-state.ts'
import type { Migration } from '../migrations/migration.ts'
import { runCommand } from './support/command.ts'
import { freshDatabase } from './support/landfall.ts'
import { openLedger } from './support/ledger.ts'
import { betweenLooks } from './support/pauses.ts'

let url: string
let db: Ledger

async function fresh(): Promise<void> {
  await db?.destroy()
  url = await freshDatabase()
  db = openLedger(url)
}
beforeAll(fresh)
afterAll(() => db.destroy())

/** This release, and one migration more. */
const withMore = (name: string, migration: Partial<Migration> = {}): Release => ({
  first: thisRelease.first,
  later: { ...thisRelease.later, [name]: { async up() {}, ...migration } },
})

/** A release that has only the first migrations. */
const firstOnly: Release = { first: thisRelease.first, later: {} }

const prepare = async (migrator?: Ledger) => {
  const warnings: object[] = []
  if (migrator) await migrateToLatest(migrator)
  await requireSchema(db, { warn: (details) => void warnings.push(details) })
  return warnings
}

const indexes = async () =>
  (
    await sql<{ name: string; valid: boolean }>`
      select c.relname as name, i.indisvalid as valid from pg_index i join pg_class c on c.oid = i.indexrelid
       where c.relname like 'probe_%' order by 1`.execute(db)
  ).rows

/** Holds the lock of a table, as a transaction that reads it does, until it is told to let go. */
async function hold(table: string): Promise<{ release(): Promise<void> }> {
  const client = new pg.Client(url)
  await client.connect()
  await client.query(`begin; lock table landfall.${table} in access share mode`)
  return { release: () => client.end() }
}

describe('a schema that a newer release has migrated', () => {
  beforeAll(fresh)

  it('is used by this one when no higher minimum reader is recorded, which is said', async () => {
    await migrateToLatest(db, { release: withMore('9001-addition') })
    expect(await prepare(db)).toEqual([{ migrations: ['9001-addition'] }])
    expect(await prepare()).toEqual([{ migrations: ['9001-addition'] }])
    const state = await schemaState(db)
    expect(state).toMatchObject({ pending: [], newer: ['9001-addition'], unreadable: [] })
    expect(schemaProblem(state)).toBeUndefined()
  })

  it('lets the first releases start, which refuse names that they do not know in the table of Kysely', async () => {
    const { rows } = await sql<{ name: string }>`select name from landfall.kysely_migration`.execute(db)
    expect(rows.map(({ name }) => name).sort()).toEqual(Object.keys(thisRelease.first))
    expect(await schemaState(db, firstOnly)).toMatchObject({ pending: [], unreadable: [] })
  })

  it('lets every command say one line and nothing else when it records a higher minimum reader', async () => {
    await migrateToLatest(db, { release: withMore('9002-contraction', { minimumReader: 9001 }) })
    await expect(prepare(db)).rejects.toThrow(/newer release .*9002-contraction/)
    const env = { DATABASE_URL: url, AUTH_JWT_SECRET: 'x'.repeat(32), SCAN: 'off', PORT: '0' }
    for (const args of [['serve'], ['worker'], ['reap'], ['migrate'], ['migrate', '--check']]) {
      const { exitCode, stderr } = await runCommand('/nonexistent', args, env)
      const lines = stderr.split('\n')
      expect([exitCode, lines.length, lines[0]]).toEqual([
        1,
        1,
        expect.stringMatching(/^landfall: .*newer release .*9002-contraction/),
      ])
    }
    // The first releases read no other table.
    const { rows } = await sql<{ name: string }>`select name from landfall.kysely_migration`.execute(db)
    expect(rows.map(({ name }) => name)).toContain('9002-contraction')
  })

  it('can be run with by the release that is named as its minimum', async () => {
    const reader = { ...withMore('9001-addition') }
    expect((await schemaState(db, reader)).unreadable).toEqual([])
  })
})

describe('migrating', () => {
  beforeAll(fresh)

  it('is done by one of many that start together', async () => {
    let runs = 0
    const release = withMore('9001-once', {
      async up(trx) {
        runs += 1
        await sql`create table landfall.probe (id bigint)`.execute(trx)
      },
      indexes: [{ create: 'probe_id', on: 'landfall.probe (id)' }],
    })
    const applied = await Promise.all(Array.from({ length: 5 }, () => migrateToLatest(db, { release })))
    expect(applied.flat()).toEqual(['9001-once'])
    expect(runs).toBe(1)
    expect(await indexes()).toEqual([{ name: 'probe_id', valid: true }])
  })

  it('rebuilds an index that was left half built, and goes on where it was', async () => {
    await sql`insert into landfall.probe values (1), (1)`.execute(db)
    const failing = withMore('9002-unique', {
      indexes: [{ create: 'probe_unique', on: 'landfall.probe (id)', isUnique: true }, { drop: 'probe_id' }],
    })
    await expect(migrateToLatest(db, { release: failing })).rejects.toThrow(/probe_unique/)
    expect(await indexes()).toContainEqual({ name: 'probe_unique', valid: false })
    expect((await schemaState(db, failing)).pending).toEqual(['9002-unique'])
    await sql`delete from landfall.probe`.execute(db)
    expect(await migrateToLatest(db, { release: failing })).toEqual(['9002-unique'])
    expect(await indexes()).toEqual([{ name: 'probe_unique', valid: true }])
  })

  it('lets requests pass while a table it changes is in use, and does it afterwards', async () => {
    const lock = await hold('media')
    const release = withMore('9003-column', {
      up: async (trx) => void (await sql`alter table landfall.media add column probe text`.execute(trx)),
    })
    const migrating = migrateToLatest(db, { release })
    let longestMs = 0
    for (const until = performance.now() + 3_000; performance.now() < until; await betweenLooks()) {
      const since = performance.now()
      await sql`select 1 from landfall.media limit 1`.execute(db)
      longestMs = Math.max(longestMs, performance.now() - since)
    }
    expect(longestMs).toBeLessThan(2_500)
    await lock.release()
    expect(await migrating).toEqual(['9003-column'])
  })
})

describe('a migration that tells many rows something', () => {
  const NAME = '0009-storage-places'
  const wrong = async () =>
    (
      await sql<{ count: number }>`
        select count(*) as count from landfall.media m join landfall.uploads u on u.id = m.upload_id
         where m.storage_backend <> u.storage_backend`.execute(db)
    ).rows[0]?.count

  it('does it a batch at a time, when its change of the table is committed, and again where it was killed', async () => {
    await db.destroy()
    url = await freshDatabase({ isEmpty: true })
    db = openLedger(url)
    const { [NAME]: migration, ...rest } = thisRelease.later
    if (!migration) throw new Error('there is no such migration')
    const before = Object.fromEntries(Object.entries(rest).filter(([name]) => name < NAME))
    await migrateToLatest(db, { release: { first: thisRelease.first, later: before } })
    await sql`
      insert into landfall.uploads (id, owner_id, protocol, size, "offset", state, storage_backend, storage_key, expires_at,
                                    metadata, reserved_bytes)
      select lpad(i::text, 22, '0'), 'alice', 'tus-1.0', 1, 1, 'received', case when i % 2 = 0 then 's3' else 'disk' end, 'k' || i, now(), '{}', 1
        from generate_series(1, 2500) i`.execute(db)
    await sql`
      insert into landfall.media (id, upload_id, owner_id, size, status, storage_key)
      select lpad(i::text, 22, '0'), lpad(i::text, 22, '0'), 'alice', 1, 'ready', 'k' || i from generate_series(1, 2500) i`.execute(
      db,
    )
    const left: unknown[] = []
    let dies = true
    const release: Release = {
      first: thisRelease.first,
      later: {
        ...thisRelease.later,
        [NAME]: {
          ...migration,
          async backfill(session, after) {
            // Another connection sees the column, and waits for nothing.
            left.push(await wrong())
            if (dies && left.length === 2) throw new Error('killed')
            return await migration.backfill?.(session, after)
          },
        },
      },
    }
    await expect(migrateToLatest(db, { release })).rejects.toThrow('killed')
    expect((await schemaState(db)).pending).toContain(NAME)
    dies = false
    expect(await migrateToLatest(db, { release })).toContain(NAME)
    expect(await wrong()).toBe(0)
    expect(left).toHaveLength(6)
    expect(left[0]).toBe(1250)
    expect(Number(left[0]) - Number(left[1])).toBeLessThanOrEqual(1000)
    expect((await schemaState(db)).pending).toEqual([])
  })
})

describe('landfall migrate --check and MIGRATE=off', () => {
  let empty: string
  beforeAll(async () => {
    const name = `empty_${process.pid}_${Date.now()}`
    const client = new pg.Client(inject('postgresUrl'))
    await client.connect()
    await client.query(`create database ${name}`)
    await client.end()
    empty = Object.assign(new URL(inject('postgresUrl')), { pathname: `/${name}` }).href
  })

  it('names what is due, changes nothing, and exits 1; serve does not start', async () => {
    const check = await runCommand('/nonexistent', ['migrate', '--check'], { DATABASE_URL: empty })
    expect(check.exitCode).toBe(1)
    for (const name of [...Object.keys({ ...thisRelease.first, ...thisRelease.later }), 'pgboss']) {
      expect(check.stdout).toContain(`due: ${name}\n`.trim())
    }
    const env = {
      DATABASE_URL: empty,
      AUTH_JWT_SECRET: 'x'.repeat(32),
      SCAN: 'off',
      PORT: '0',
      MIGRATE: 'off',
    }
    const serve = await runCommand('/nonexistent', ['serve'], env)
    expect(serve.exitCode).toBe(1)
    expect(serve.stderr).toMatch(/^landfall: the database lacks migrations \(0001-[^\n]*landfall migrate"$/)
    const probe = openLedger(empty)
    expect(await schemaState(probe)).toMatchObject({ isLedger: false })
    await probe.destroy()
  })

  it('exits 0 once it is done', async () => {
    expect((await runCommand('/nonexistent', ['migrate'], { DATABASE_URL: empty })).exitCode).toBe(0)
    const { exitCode, stdout } = await runCommand('/nonexistent', ['migrate', '--check', '--json'], {
      DATABASE_URL: empty,
    })
    expect([exitCode, JSON.parse(stdout)]).toEqual([0, { due: [] }])
  })
})
