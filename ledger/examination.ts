import { randomBytes } from 'node:crypto'
import { openConnection } from './connection.ts'
import type { Ledger } from './database.ts'
import { BUS_DEADLINES } from './deadlines.ts'
import { onlyRow } from './rows.ts'

export type DatabaseFacts = {
  /** Such as 170002. */
  versionNumber: number
  version: string
  /** How far its clock is ahead of ours, in milliseconds, within half a round trip. */
  clockAheadMs: number
  /** Whether our user may create schemas, which the first migration does. */
  mayCreate: boolean
}

/** What `doctor` reports about the database. */
export async function databaseFacts(db: Ledger): Promise<DatabaseFacts> {
  const askedAt = Date.now()
  const row = await onlyRow<{ number: number; version: string; now: number; may_create: boolean }>(db)`
    select current_setting('server_version_num')::int as number, current_setting('server_version') as version,
           (extract(epoch from clock_timestamp()) * 1000)::float8 as now,
           has_database_privilege(current_database(), 'CREATE') as may_create`
  const answeredAt = Date.now()
  return {
    versionNumber: row.number,
    version: row.version,
    clockAheadMs: row.now - (askedAt + answeredAt) / 2,
    mayCreate: row.may_create,
  }
}

/**
 * Whether a NOTIFY of one connection reaches another that listens, within `waitMs`. Not so through a pooler that does
 * not keep sessions.
 */
export async function receivesNotifications(connectionString: string, waitMs: number): Promise<boolean> {
  const channel = `landfall_${randomBytes(8).toString('hex')}`
  const open = (applicationName: string) =>
    openConnection({ connectionString, applicationName, deadlines: BUS_DEADLINES })
  const listener = await open('landfall-doctor-listener')
  try {
    const notifier = await open('landfall-doctor')
    try {
      const { promise, resolve } = Promise.withResolvers<boolean>()
      listener.on('notification', () => resolve(true))
      await listener.query(`listen ${channel}`)
      await notifier.query('select pg_notify($1, $2)', [channel, 'heard'])
      const timer = setTimeout(() => resolve(false), waitMs)
      return await promise.finally(() => clearTimeout(timer))
    } finally {
      await notifier.end()
    }
  } finally {
    await listener.end()
  }
}
