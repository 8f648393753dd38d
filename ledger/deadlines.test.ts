import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import * as deadlines from './deadlines.ts'
import { SETTLED_AFTER_MS } from './events.ts'

const ROOT = join(import.meta.dirname, '..')

describe('deadlines', () => {
  it('end every transaction that may write an event before a reader stops looking back for it', () => {
    const { transactionMs, idleInTransactionMs, statementMs } = deadlines.ORDINARY_DEADLINES
    expect(transactionMs + idleInTransactionMs + statementMs).toBeLessThan(SETTLED_AFTER_MS)
  })

  it.each(Object.entries(deadlines))('of %s let the database answer that it was too slow', (_name, given) => {
    expect(given.answerMs).toBeGreaterThan(given.statementMs)
    expect(given.lockMs).toBeLessThanOrEqual(given.statementMs)
    // PostgreSQL takes 32 bits.
    for (const ms of Object.values(given)) expect(ms).toBeLessThan(2 ** 31)
  })

  it('are those of every connection: nobody opens one by himself', async () => {
    const offenders: string[] = []
    for (const room of ['server', 'hooks', 'processing', 'storage', 'ledger', 'migrations']) {
      for (const name of await readdir(join(ROOT, room), { recursive: true })) {
        if (!name.endsWith('.ts') || name.endsWith('.test.ts')) continue
        const path = join(room, name)
        const text = await readFile(join(ROOT, path), 'utf8')
        const opens = /new pg\.(Client|Pool)|extends pg\.(Client|Pool)|from 'pg-native'/.test(text)
        if (opens && !['ledger/connection.ts', 'ledger/database.ts'].includes(path)) offenders.push(path)
      }
    }
    expect(offenders).toEqual([])
  })
})
