import pg from 'pg'
import { afterEach, beforeEach, describe, expect, inject, it, vi } from 'vitest'
import { freshDatabase } from '../../test/support/landfall.ts'
import { nothingFor } from '../../test/support/pauses.ts'
import { createLog } from '../process/log.ts'
import { DataDirectoryInUse, ServerLock } from './server-lock.ts'

const DIRECTORY = '/a/data/directory'
/** Longer than a crashed database is waited for. */
const LONG_MS = 60_000
const log = createLog({ level: 'silent', name: 'test' })

describe('the lock of a server on its database', () => {
  let connectionString: string
  const undo: (() => Promise<unknown>)[] = []

  beforeEach(async () => {
    connectionString = await freshDatabase()
  })
  afterEach(async () => {
    vi.useRealTimers()
    for (const step of undo.splice(0).reverse()) await step()
  })

  async function connect(to = connectionString): Promise<pg.Client> {
    const client = new pg.Client({ connectionString: to })
    client.on('error', () => {
      // Its database may be dropped under it.
    })
    await client.connect()
    undo.push(() => client.end())
    return client
  }

  async function take(): Promise<ServerLock> {
    const lock = await ServerLock.take(connectionString, DIRECTORY, log)
    undo.push(() => lock.release())
    return lock
  }

  const untilHeldAgain = (lock: ServerLock, former: pg.Client) =>
    vi.waitFor(() => expect(lock.isHeld && lock.session !== former).toBe(true), { timeout: 5_000 })

  it('is taken again when the database ends its session, as often as that happens', async () => {
    const lock = await take()
    const administrator = await connect()
    for (let time = 0; time < 3; time++) {
      const former = lock.session
      await terminate(administrator, await backendOf(former))
      await untilHeldAgain(lock, former)
    }
    expect(await lockersOf(administrator)).toEqual([await backendOf(lock.session)])
  })

  it('is not given to one that waits before the last work of its holder is done', async () => {
    const lock = await take()
    const order: string[] = []
    const next = take().then(() => order.push('taken'))
    await lock.release(async () => {
      // Longer than the one that waits lets pass between two attempts.
      await nothingFor(500)
      order.push('done')
    })
    await next
    expect(order).toEqual(['done', 'taken'])
    expect(lock.isHeld).toBe(false)
  })

  it('is still nobody else’s after it was taken again', async () => {
    const lock = await take()
    const former = lock.session
    await terminate(await connect(), await backendOf(former))
    await untilHeldAgain(lock, former)
    await expect(take()).rejects.toThrow(DataDirectoryInUse)
    expect(lock.isHeld).toBe(true)
  })

  it('can be had by another server once it was released', async () => {
    const first = await take()
    await first.release()
    expect(first.isHeld).toBe(false)
    expect((await take()).isHeld).toBe(true)
  })

  it('is had by a server that starts while its holder is just ending', async () => {
    const first = await take()
    const second = take()
    await first.release()
    expect((await second).isHeld).toBe(true)
  })

  it('is lost when somebody else was quicker, and has it for long', async () => {
    const lock = await take()
    const administrator = await connect()
    const rival = await connect()
    // Waits in line, so it has the lock as soon as the session is gone.
    const rivalHasIt = rival.query('select pg_advisory_lock($1::bigint)', [await keyOf(administrator)])
    await terminate(administrator, await backendOf(lock.session))
    await rivalHasIt
    await vi.waitFor(() => expect(lock.isHeld).toBe(false))
    await expectLost(lock, { cause: expect.any(DataDirectoryInUse) })
    expect(await lockersOf(administrator)).toEqual([await backendOf(rival)])
  })

  it('is taken again when another that was quicker releases it soon', async () => {
    const lock = await take()
    const former = lock.session
    const administrator = await connect()
    const rival = await connect()
    const rivalHasIt = rival.query('select pg_advisory_lock($1::bigint)', [await keyOf(administrator)])
    await terminate(administrator, await backendOf(former))
    await rivalHasIt
    await vi.waitFor(() => expect(lock.isHeld).toBe(false))
    await rival.query('select pg_advisory_unlock_all()')
    await untilHeldAgain(lock, former)
  })

  it('is lost when the database is gone', async () => {
    const lock = await take()
    const administrator = await connect(inject('postgresUrl'))
    const name = new URL(connectionString).pathname.slice(1)
    await administrator.query(`drop database ${name} with (force)`)
    await vi.waitFor(() => expect(lock.isHeld).toBe(false))
    await expectLost(lock, { cause: expect.objectContaining({ code: '3D000' }) })
  })
})

/** Lets the time pass in which a lost lock may still be had again. */
async function expectLost(lock: ServerLock, reason: object): Promise<void> {
  vi.useFakeTimers({ toFake: ['performance'], now: performance.now() })
  vi.advanceTimersByTime(LONG_MS)
  await expect(lock.lost).resolves.toMatchObject(reason)
  expect(lock.isHeld).toBe(false)
}

async function backendOf(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
  return rows[0]?.pid ?? 0
}

async function terminate(administrator: pg.Client, pid: number): Promise<void> {
  await administrator.query('select pg_terminate_backend($1)', [pid])
}

const LOCKS = `from pg_locks join pg_database on pg_database.oid = pg_locks.database
  where locktype = 'advisory' and granted and datname = current_database()`

async function lockersOf(administrator: pg.Client): Promise<number[]> {
  const { rows } = await administrator.query<{ pid: number }>(`select pid ${LOCKS}`)
  return rows.map(({ pid }) => pid)
}

/** The number that the one lock of the database has, as PostgreSQL shows it: in two halves. */
async function keyOf(administrator: pg.Client): Promise<string> {
  const { rows } = await administrator.query<{ key: string }>(
    `select ((classid::bigint << 32) | objid::bigint)::text as key ${LOCKS}`,
  )
  const [only, ...more] = rows
  if (!only || more.length > 0) throw new Error(`${rows.length} locks are held`)
  return only.key
}
