import { sql } from 'kysely'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { freshDatabase } from '../test/support/landfall.ts'
import { Bus, type BusMessage } from './bus.ts'
import { type Ledger, openDatabase } from './database.ts'

const REAL: BusMessage = { t: 'event', id: 'an upload' }

describe('the bus', () => {
  let db: Ledger
  let bus: Bus
  let errors: unknown[]
  let messages: BusMessage[]

  beforeEach(async () => {
    errors = []
    messages = []
    const connectionString = await freshDatabase()
    db = openDatabase({
      connectionString,
      maxConnections: 2,
      applicationName: 'test',
      onPoolError: () => {},
    })
    bus = await Bus.open({ connectionString, onError: (error) => errors.push(error) })
    bus.onMessage((message) => messages.push(message))
  })
  afterEach(async () => {
    await bus?.close()
    await db?.destroy()
  })

  /** Until what was sent so far has come: notifications keep their order. */
  const untilReceived = (message: BusMessage) =>
    vi.waitFor(() => expect(messages).toContainEqual(message), { timeout: 5_000 })

  it.each([
    'null',
    '{}',
    '[]',
    '"event"',
    '{"t":"progress"}',
    '{"t":"progress","ticks":[["an upload"]]}',
    '{"t":"event","id":7}',
    '{"t":"somebody else’s"}',
    'not JSON',
    '',
  ])('reports the notification %j of a stranger, tells nobody, and goes on', async (payload) => {
    await sql`select pg_notify('landfall', ${payload})`.execute(db)
    await bus.publish(REAL)
    await untilReceived(REAL)
    expect(messages).toEqual([REAL])
    expect(errors).toHaveLength(1)
    expect(errors[0]).toBeInstanceOf(Error)
  })

  it('reports a listener that fails, and goes on', async () => {
    const failure = new Error('a listener failed')
    const stop = bus.onMessage(() => {
      throw failure
    })
    await bus.publish({ t: 'event', id: 'another upload' })
    await vi.waitFor(() => expect(errors).toEqual([failure]))
    stop()
    await bus.publish(REAL)
    await untilReceived(REAL)
  })

  it('connects again when its connection is broken, says so, and goes on', async () => {
    const reconnected = new Promise<void>((resolve) => bus.onReconnected(resolve))
    const { rows } = await sql<{ ended: boolean }>`
      select pg_terminate_backend(pid) as ended from pg_stat_activity
       where datname = current_database() and application_name = 'landfall-bus'`.execute(db)
    expect(rows).toEqual([{ ended: true }])
    await reconnected
    expect(errors).toContainEqual(expect.objectContaining({ code: '57P01' }))
    await bus.publish(REAL)
    await untilReceived(REAL)
    expect(messages).toEqual([REAL])
  })

  it.each([
    ['8000 bytes', 'x'.repeat(8000)],
    ['4000 characters of two bytes', 'ö'.repeat(4000)],
  ])('refuses a message of %s, which no database would take', async (_length, step) => {
    await expect(bus.publish({ t: 'step', id: 'an upload', step })).rejects.toThrow(RangeError)
    await bus.publish(REAL)
    await untilReceived(REAL)
    expect([messages, errors]).toEqual([[REAL], []])
  })

  it('carries as many ticks as a node sends at once', async () => {
    const id = 'i'.repeat(22)
    const most = Number.MAX_SAFE_INTEGER
    const ticks = Array.from({ length: 90 }, (): [string, number, number, number] => [id, most, most, most])
    await bus.publish({ t: 'progress', ticks })
    await untilReceived({ t: 'progress', ticks })
    expect(errors).toEqual([])
  })
})
