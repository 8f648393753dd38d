import { once } from 'node:events'
import { createServer } from 'node:net'
import { sql } from 'kysely'
import { afterEach, beforeEach, describe, expect, inject, it, vi } from 'vitest'
import { freshDatabase } from '../test/support/landfall.ts'
import { slowly } from '../test/support/pauses.ts'
import { startTcpProxy, type TcpProxy } from '../test/support/tcp-proxy.ts'
import { DatabaseSilent, openConnection } from './connection.ts'
import { isPoolStuck, type Ledger, openDatabase } from './database.ts'
import { type Deadlines, ORDINARY_DEADLINES } from './deadlines.ts'
import { DatabaseReadOnly, pingDatabase } from './ping.ts'

const SHORT: Deadlines = {
  connectMs: 2_000,
  statementMs: 500,
  answerMs: 1_000,
  lockMs: 300,
  idleInTransactionMs: 800,
  transactionMs: 1_500,
}

const pidOf = async (db: Ledger) =>
  (await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(db)).rows[0]?.pid

describe('a connection that dies silently', () => {
  let proxy: TcpProxy
  let db: Ledger
  let direct: Ledger
  let throughProxy: string

  beforeEach(async () => {
    const connectionString = await freshDatabase()
    proxy = await startTcpProxy(connectionString)
    throughProxy = Object.assign(new URL(connectionString), { port: new URL(proxy.url).port }).href
    const options = { maxConnections: 2, applicationName: 'test', onPoolError: () => {} }
    db = openDatabase({ ...options, connectionString: throughProxy, deadlines: SHORT })
    direct = openDatabase({ ...options, connectionString })
  })
  afterEach(async () => {
    await db?.destroy()
    await direct?.destroy()
    await proxy?.close()
  })

  it('fails who waits for an answer, and is replaced', async () => {
    const pids = await Promise.all([pidOf(db), pidOf(db)])
    proxy.swallowOld()
    // Both of the pool, so that a third could wait for ever.
    const asked = [pidOf(db), pidOf(db), pidOf(db)]
    const outcomes = await Promise.allSettled(asked)
    expect(outcomes.slice(0, 2)).toEqual([
      { status: 'rejected', reason: expect.any(DatabaseSilent) },
      { status: 'rejected', reason: expect.any(DatabaseSilent) },
    ])
    expect(outcomes[2]?.status).toBe('fulfilled')
    expect(pids).not.toContain(await pidOf(db))
  })

  it('in the middle of a transaction ends that, here and in the database', async () => {
    await sql`create table public.t (id int primary key)`.execute(direct)
    const transaction = db.transaction().execute(async (trx) => {
      await sql`insert into public.t values (1)`.execute(trx)
      proxy.swallowOld()
      await sql`select 1`.execute(trx)
    })
    await expect(transaction).rejects.toThrow()
    // The row is free again, so the database has given the transaction up as well.
    await sql`insert into public.t values (1)`.execute(direct)
    expect((await sql`select * from public.t`.execute(db)).rows).toHaveLength(1)
  })

  it('is refused in time where a new one is not answered', async () => {
    proxy.discardOutput()
    const began = performance.now()
    await expect(pidOf(db)).rejects.toThrow(/timeout|terminated/i)
    expect(performance.now() - began).toBeLessThan(SHORT.connectMs + 10_000)
    proxy.restore()
    expect(await pidOf(db)).toBeGreaterThan(0)
  })

  it('can be closed all the same', async () => {
    const client = await openConnection({
      connectionString: throughProxy,
      applicationName: 'test',
      deadlines: SHORT,
    })
    await pidOf(db)
    proxy.discardOutput()
    const began = performance.now()
    await Promise.all([client.end(), db.destroy()])
    expect(performance.now() - began).toBeLessThan(10_000)
    db = openDatabase({
      connectionString: throughProxy,
      maxConnections: 1,
      applicationName: 'test',
      onPoolError: () => {},
    })
  })

  it('lets a pool that nothing comes out of be told from one that is busy', async () => {
    const patient = openDatabase({
      connectionString: throughProxy,
      maxConnections: 1,
      applicationName: 'test',
      onPoolError: () => {},
    })
    try {
      await pidOf(patient)
      expect(isPoolStuck(patient)).toBe(false)
      proxy.swallowOld()
      const asked = [pidOf(patient), pidOf(patient)].map((work) => work.catch(() => {}))
      await vi.waitFor(() => expect(isPoolStuck(patient)).toBe(true), { timeout: 8_000, interval: 100 })
      await patient.destroy()
      await Promise.all(asked)
    } finally {
      if (isPoolStuck(patient)) await patient.destroy()
    }
  })
})

describe('a transaction', () => {
  it.each([
    ['waits between statements', 'select 1', 1_200],
    ['goes on and on', 'select pg_sleep(0.3)', 0],
  ])('that %s is ended', async (_what, statement, pauseMs) => {
    const db = openDatabase({
      connectionString: inject('postgresUrl'),
      maxConnections: 1,
      applicationName: 'test',
      onPoolError: () => {},
      deadlines: SHORT,
    })
    try {
      const transaction = db.transaction().execute(async (trx) => {
        for (let i = 0; i < 20; i++) {
          await sql.raw(statement).execute(trx)
          if (pauseMs > 0) await slowly(pauseMs)
        }
      })
      await expect(transaction).rejects.toThrow()
      expect(await pidOf(db)).toBeGreaterThan(0)
    } finally {
      await db.destroy()
    }
  })
})

describe('every connection', () => {
  it('has our deadlines and our isolation level, whatever the database is set to', async () => {
    const connectionString = await freshDatabase()
    const name = new URL(connectionString).pathname.slice(1)
    const options = { connectionString, maxConnections: 1, applicationName: 'test', onPoolError: () => {} }
    const administrator = openDatabase(options)
    await sql
      .raw(`alter database ${name} set default_transaction_isolation = 'serializable'`)
      .execute(administrator)
    await sql.raw(`alter database ${name} set statement_timeout = 0`).execute(administrator)
    await administrator.destroy()
    const db = openDatabase(options)
    const { rows } = await sql<{ name: string; setting: string }>`
      select name, setting from pg_settings
       where name in ('default_transaction_isolation', 'statement_timeout', 'lock_timeout',
                      'idle_in_transaction_session_timeout', 'transaction_timeout')`.execute(db)
    await db.destroy()
    const settings = Object.fromEntries(rows.map(({ name, setting }) => [name, setting]))
    expect(settings).toMatchObject({
      default_transaction_isolation: 'read committed',
      statement_timeout: String(ORDINARY_DEADLINES.statementMs),
      lock_timeout: String(ORDINARY_DEADLINES.lockMs),
      idle_in_transaction_session_timeout: String(ORDINARY_DEADLINES.idleInTransactionMs),
    })
    if (settings.transaction_timeout !== undefined)
      expect(settings.transaction_timeout).toBe(String(ORDINARY_DEADLINES.transactionMs))
  })

  it('is asked for with nothing that a pooler refuses', async () => {
    const server = createServer()
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('no port')
    const startup = new Promise<string[]>((resolve) => {
      server.on('connection', (socket) =>
        socket
          .on('error', () => {})
          .once('data', (bytes) => {
            const words = bytes.subarray(8).toString().split('\0')
            resolve(words.filter((_, index) => index % 2 === 0 && words[index] !== ''))
            socket.destroy()
          }),
      )
    })
    const connectionString = `postgres://someone:secret@127.0.0.1:${address.port}/some`
    await expect(
      openConnection({ connectionString, applicationName: 'test', deadlines: SHORT }),
    ).rejects.toThrow()
    // Those that PgBouncer takes without `ignore_startup_parameters`.
    const taken = ['user', 'database', 'application_name', 'client_encoding']
    expect((await startup).filter((name) => !taken.includes(name))).toEqual([])
    server.close()
  })
})

describe('a database that became read-only', () => {
  it('is noticed, and its connections are opened again, as the address may lead to another server by then', async () => {
    const connectionString = await freshDatabase()
    const name = new URL(connectionString).pathname.slice(1)
    const options = { connectionString, maxConnections: 1, applicationName: 'test', onPoolError: () => {} }
    const administrator = openDatabase(options)
    const db = openDatabase(options)
    try {
      await pingDatabase(db)
      const write = () => db.deleteFrom('landfall.upload_locks').execute()
      const former = await pidOf(db)
      await sql`set default_transaction_read_only = on`.execute(db)
      await expect(write()).rejects.toMatchObject({ code: '25006' })
      expect(await pidOf(db)).not.toBe(former)
      await write()
      await sql.raw(`alter database ${name} set default_transaction_read_only = on`).execute(administrator)
      await sql`select pg_terminate_backend(${await pidOf(db)}::int)`.execute(administrator)
      await vi.waitFor(async () => await expect(pingDatabase(db)).rejects.toThrow(DatabaseReadOnly))
    } finally {
      await db.destroy()
      await administrator.destroy()
    }
  })
})
