import { sql } from 'kysely'
import { afterEach, beforeEach, describe, expect, inject, it, onTestFinished, vi } from 'vitest'
import { type Ledger, openDatabase } from '../../ledger/database.ts'
import { FileSystem } from '../../storage/disk/file-system.ts'
import type { Objects } from '../../storage/store/objects.ts'
import { asctime, fakeClamd } from '../../test/support/fake-clamd.ts'
import { EventLoopWatch } from '../process/event-loop.ts'
import { signaturesOf } from './clamd-link.ts'
import { createReadiness, oldSignaturesWarning, TEST_SIGNATURES_WARNING } from './readiness.ts'

const DAY_MS = 86_400_000

const noLog = { info: () => {}, warn: () => {} }
const roomy = { space: undefined, scratch: new FileSystem('/nonexistent') }
const writable = { checkWritable: async () => {} } as unknown as Objects

async function report(version: string) {
  await using clamd = await fakeClamd(version)
  const db = openDatabase({
    connectionString: inject('postgresUrl'),
    maxConnections: 1,
    applicationName: 'test',
    onPoolError: () => {},
  })
  try {
    return await createReadiness({
      probe: db,
      db,
      bus: { isConnected: true },
      eventLoop: { standstillMs: () => 0 },
      storage: writable,
      disks: roomy,
      clamd: { host: '127.0.0.1', port: clamd.port },
      log: noLog,
    }).check()
  } finally {
    await db.destroy()
  }
}

describe('readiness', () => {
  let db: Ledger
  let lines: string[]
  const bus = { isConnected: true }
  const storage = { isUnavailable: false, asked: 0 }
  const loop = { stoodMs: 0 }
  const realNow = performance.now.bind(performance)
  let passedMs: number

  beforeEach(() => {
    Object.assign(bus, { isConnected: true })
    Object.assign(storage, { isUnavailable: false, asked: 0 })
    Object.assign(loop, { stoodMs: 0 })
    lines = []
    passedMs = 0
    vi.spyOn(performance, 'now').mockImplementation(() => realNow() + passedMs)
    db = openDatabase({
      connectionString: inject('postgresUrl'),
      maxConnections: 1,
      applicationName: 'test',
      onPoolError: () => {},
    })
  })
  afterEach(async () => {
    vi.restoreAllMocks()
    await db.destroy()
  })

  const readiness = (probe = db) =>
    createReadiness({
      probe,
      db,
      bus,
      eventLoop: { standstillMs: () => loop.stoodMs },
      storage: {
        checkWritable: async () => {
          storage.asked += 1
          if (storage.isUnavailable) throw new Error('away')
        },
      } as unknown as Objects,
      disks: roomy,
      clamd: undefined,
      log: {
        info: (_details, message) => void lines.push(`info ${message}`),
        warn: (details, message) => void lines.push(`warn ${message} ${JSON.stringify(details)}`),
      },
    })

  it('is asked of the dependencies once, however many want to know, and again two seconds later', async () => {
    const { check } = readiness()
    const reports = await Promise.all(Array.from({ length: 50 }, check))
    expect(new Set(reports).size).toBe(1)
    await check()
    expect(storage.asked).toBe(1)
    passedMs += 2_100
    await check()
    expect(storage.asked).toBe(2)
  })

  it('is the node’s own: what all share makes it degraded', async () => {
    storage.isUnavailable = true
    const report = await readiness().check()
    expect(report).toMatchObject({ status: 'degraded', checks: { storage: { status: 'failing' } } })
  })

  it('says of a storage whose check succeeds that requests fail because of it', async () => {
    const { check, noteOutage } = readiness()
    noteOutage('storage')
    expect(await check()).toMatchObject({ status: 'degraded', checks: { storage: { status: 'failing' } } })
  })

  it.each([
    ['the bus is deaf', () => Object.assign(bus, { isConnected: false }), 'bus'],
    ['the event loop was stuck', () => Object.assign(loop, { stoodMs: 6_000 }), 'eventLoop'],
  ] as const)('ends when %s', async (_what, happen, name) => {
    happen()
    const report = await readiness().check()
    expect(report.status).toBe('not-ready')
    expect(report.checks[name].status).toBe('failing')
  })

  it('ends when the database does not answer this node, or takes no writes', async () => {
    const nowhere = openDatabase({
      connectionString: 'postgres://nobody@127.0.0.1:1/none',
      maxConnections: 1,
      applicationName: 'test',
      onPoolError: () => {},
    })
    expect((await readiness(nowhere).check()).status).toBe('not-ready')
    await nowhere.destroy()
    await sql`set default_transaction_read_only = on`.execute(db)
    expect(await readiness().check()).toMatchObject({
      status: 'not-ready',
      checks: { database: { status: 'failing', detail: 'The database is read-only.' } },
    })
  })

  it('ends at once when the server drains', async () => {
    const { check, drain } = readiness()
    expect((await check()).status).toBe('ready')
    drain()
    expect((await check()).status).toBe('draining')
  })

  it('writes one line when it changes, and none while it stays the same', async () => {
    const { check } = readiness()
    await check()
    expect(lines).toEqual([])
    bus.isConnected = false
    for (let i = 0; i < 3; i++) {
      passedMs += 2_100
      await check()
      await check()
    }
    expect(lines).toEqual([
      expect.stringMatching(/^warn this server is not-ready .*does not receive notifications/),
    ])
    bus.isConnected = true
    passedMs += 2_100
    await check()
    expect(lines.slice(1)).toEqual(['info this server is ready'])
  })
})

describe('the event loop', () => {
  it('is known to have been stuck, for a while', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    onTestFinished(() => void vi.useRealTimers())
    let now = 0
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => now)
    onTestFinished(() => clock.mockRestore())
    const pass = (ms: number) => {
      for (const until = now + ms; now < until; now += 100) vi.advanceTimersByTime(100)
    }
    const watch = new EventLoopWatch()
    pass(600)
    expect(watch.standstillMs(10_000)).toBe(0)
    // Time passes, and no timer has a chance.
    now += 1_800
    expect(watch.standstillMs(10_000)).toBeGreaterThan(1_000)
    pass(700)
    expect(watch.standstillMs(10_000)).toBeGreaterThan(1_000)
    expect(watch.standstillMs(100)).toBe(0)
    watch.close()
  })
})

describe('the signatures of clamd', () => {
  it('are told with their age', async () => {
    const published = new Date(Math.floor((Date.now() - 1.5 * DAY_MS) / 1000) * 1000)
    const { checks, warnings } = await report(`ClamAV 1.4.3/27780/${asctime(published)}`)
    expect(checks.scanner).toEqual({
      status: 'ok',
      signatures: { version: 27780, publishedAt: published.toISOString(), ageDays: 1.5 },
    })
    expect(warnings).toEqual([])
  })

  it('are warned of when they are old', async () => {
    const { warnings } = await report(`ClamAV 1.4.3/27000/${asctime(new Date(Date.now() - 30.2 * DAY_MS))}`)
    expect(warnings).toEqual([oldSignaturesWarning(30)])
  })

  it('have no age where they are for tests only', async () => {
    const { checks, warnings } = await report('ClamAV 1.4.3')
    expect(checks.scanner).toEqual({ status: 'ok' })
    expect(warnings).toEqual([TEST_SIGNATURES_WARNING])
  })

  it.each([
    'ClamAV 1.4.3',
    'ClamAV 1.4.3/27780/',
    'ClamAV 1.4.3/27780/some day',
    'ClamAV 1.4.3/x/Fri Nov 20 08:24:11 2026',
  ])('are not known from %j', (version) => {
    expect(signaturesOf(version)).toBeUndefined()
  })
})
