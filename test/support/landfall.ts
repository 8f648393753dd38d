import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import jwt from 'jsonwebtoken'
import pg from 'pg'
import { inject } from 'vitest'
import { type Ledger, openDatabase } from '../../ledger/database.ts'
import { runWorker } from '../../processing/process.ts'
import { workerOptions } from '../../server/commands/worker.ts'
import { parseConfig } from '../../server/config.ts'
import { startHttpServer } from '../../server/http-server.ts'
import { createLog } from '../../server/log.ts'
import { Releasers } from '../../server/releasers.ts'

const PAGE_DIRECTORY = join(import.meta.dirname, '..', '..', 'client-demo', 'dist')

export const SECRET = 'a-secret-that-only-the-tests-know-0123456789'

export type Landfall = {
  url: string
  dataDirectory: string
  connectionString: string
  /** The ledger, for looking at what requests left behind. */
  db: Ledger
  /** A bearer token of this user. */
  token(sub: string, claims?: object): string
  /** `fetch` with the token of this user. */
  as(sub: string): (path: string, init?: RequestInit) => Promise<Response>
  close(): Promise<void>
}

export type LandfallOptions = {
  /** Environment variables beside those that every test needs. */
  env?: Record<string, string>
  /** Runs no worker: files stay received. */
  withoutWorker?: boolean
  /** Serves this database instead of a fresh one. */
  connectionString?: string
  dataDirectory?: string
  /** Serves the built web page and gives it development tokens. */
  page?: boolean
}

let databases = 0

/** A database of its own, copied from the migrated template. */
export async function freshDatabase(): Promise<string> {
  const name = `test_${process.pid}_${Date.now()}_${databases++}`
  const client = new pg.Client(inject('postgresUrl'))
  await client.connect()
  await client.query(`create database ${name} template ${inject('postgresTemplate')}`)
  await client.end()
  return Object.assign(new URL(inject('postgresUrl')), { pathname: `/${name}` }).href
}

/** A whole Landfall in this process, on a port, a database and a directory of its own. */
export async function startLandfall(options: LandfallOptions = {}): Promise<Landfall> {
  const releasers = new Releasers()
  const log = createLog({ level: process.env.TEST_LOG_LEVEL ?? 'silent', name: 'test' })
  const connectionString = options.connectionString ?? (await freshDatabase())
  const dataDirectory = options.dataDirectory ?? (await mkdtemp(join(tmpdir(), 'landfall-data-')))
  if (!options.dataDirectory) releasers.add('data', () => rm(dataDirectory, { recursive: true, force: true }))
  const config = parseConfig(
    {
      AUTH_JWT_SECRET: SECRET,
      DATABASE_URL: connectionString,
      DATA_DIR: dataDirectory,
      PORT: '0',
      CLAMD_URL: inject('clamdUrl'),
      ...(options.page ? { AUTH_DEV_TOKENS: 'true' } : {}),
      ...options.env,
    },
    { auth: true },
  )
  try {
    const server = await startHttpServer({
      config,
      log,
      connectionString,
      isOnlyServer: false,
      pageDirectory: options.page ? PAGE_DIRECTORY : undefined,
    })
    releasers.add('server', () => server.close())
    if (!options.withoutWorker) {
      const worker = await runWorker(workerOptions(config, connectionString, log))
      releasers.add('worker', () => worker.close())
    }
    const db = openDatabase({
      connectionString,
      maxConnections: 2,
      applicationName: 'test',
      onPoolError: () => {},
    })
    releasers.add('ledger', () => db.destroy())
    const url = `http://127.0.0.1:${server.port}`
    const token = (sub: string, claims: object = {}) =>
      jwt.sign(claims, SECRET, { subject: sub, expiresIn: '1h' })
    return {
      url,
      dataDirectory,
      connectionString,
      db,
      token,
      as:
        (sub) =>
        async (path, init = {}) => {
          const headers = new Headers(init.headers)
          headers.set('Authorization', `Bearer ${token(sub)}`)
          return await fetch(new URL(path, url), { ...init, headers })
        },
      close: () => releasers.releaseAll(log),
    }
  } catch (error) {
    await releasers.releaseAll(log)
    throw error
  }
}
