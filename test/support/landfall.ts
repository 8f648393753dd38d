import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import jwt from 'jsonwebtoken'
import pg from 'pg'
import { inject } from 'vitest'
import { workerOptions } from '../../commands/worker.ts'
import { type Ledger, openDatabase } from '../../ledger/database.ts'
import { runWorker } from '../../processing/process.ts'
import { newDevCode } from '../../server/auth/dev-code.ts'
import { parseConfig } from '../../server/config.ts'
import type { Deadlines } from '../../server/http/deadlines.ts'
import { createLog } from '../../server/process/log.ts'
import { Releasers } from '../../server/process/releasers.ts'
import { startHttpServer } from '../../server/serving/http-server.ts'
import { freshBucket } from './bucket.ts'
import { type Stored, storedInBucket, storedOnDisk } from './stored.ts'

const PAGE_DIRECTORY = join(import.meta.dirname, '..', '..', 'client-demo', 'dist')

export const SECRET = 'a-secret-that-only-the-tests-know-0123456789'

export type StorageKind = 'disk' | 's3'

export type Landfall = {
  url: string
  /** Where metrics are served on a separate port. */
  metricsUrl: string | undefined
  /** The address of the page, with the code for development tokens where there are any. */
  pageUrl: string
  /** What a start prints for who wants development tokens; undefined where there are none. */
  devCode: string | undefined
  dataDirectory: string
  connectionString: string
  /** Environment variables that say where bytes are stored, for processes beside this one. */
  storageEnv: Record<string, string>
  /** Where its bytes are, whatever that is. */
  stored: Stored
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
  /** Where bytes are stored: on disk unless it says otherwise. A bucket is a fresh one. */
  storage?: StorageKind
  /** Another node of this one: on its database, its directory and its storage. */
  beside?: Landfall
  /** Serves this database instead of a fresh one. */
  connectionString?: string
  dataDirectory?: string
  /** Shorter deadlines of connections than the usual ones. */
  deadlines?: Partial<Deadlines>
  /** Serves the built web page and gives it development tokens. */
  page?: boolean
}

let databases = 0

/** A bearer token of this user, for every server of the tests. */
export const tokenOf = (sub: string, claims: object = {}): string =>
  jwt.sign(claims, SECRET, { subject: sub, expiresIn: '1h' })

/** A database of its own, copied from the migrated template, or with nothing in it. */
export async function freshDatabase({ isEmpty = false } = {}): Promise<string> {
  const name = `test_${process.pid}_${Date.now()}_${databases++}`
  const client = new pg.Client(inject('postgresUrl'))
  await client.connect()
  const template = isEmpty ? 'template1' : inject('postgresTemplate')
  await client.query(`create database ${name} template ${template}`)
  await client.end()
  return Object.assign(new URL(inject('postgresUrl')), { pathname: `/${name}` }).href
}

/** A whole Landfall in this process, on a port, a database and a directory of its own. */
export async function startLandfall(options: LandfallOptions = {}): Promise<Landfall> {
  const releasers = new Releasers()
  const log = createLog({ level: process.env.TEST_LOG_LEVEL ?? 'silent', name: 'test' })
  try {
    const { connectionString, dataDirectory, storageEnv, stored } = await placesOf(options, releasers)
    const config = parseConfig(
      {
        AUTH_JWT_SECRET: SECRET,
        DATABASE_URL: connectionString,
        DATA_DIR: dataDirectory,
        PORT: '0',
        CLAMD_URL: inject('clamdUrl'),
        ...storageEnv,
        ...(options.page ? { AUTH_DEV_TOKENS: 'true' } : {}),
        ...options.env,
      },
      { auth: true },
    )
    const devCode = config.AUTH_DEV_TOKENS ? newDevCode() : undefined
    const server = await startHttpServer({
      config,
      log,
      connectionString,
      isOnlyServer: false,
      devCode,
      ...(options.deadlines ? { deadlines: options.deadlines } : {}),
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
    return {
      url,
      metricsUrl: server.metricsPort === undefined ? undefined : `http://127.0.0.1:${server.metricsPort}`,
      pageUrl: devCode === undefined ? url : `${url}/?code=${devCode}`,
      devCode,
      dataDirectory,
      connectionString,
      storageEnv,
      stored,
      db,
      token: tokenOf,
      as:
        (sub) =>
        async (path, init = {}) => {
          const headers = new Headers(init.headers)
          headers.set('Authorization', `Bearer ${tokenOf(sub)}`)
          return await fetch(new URL(path, url), { ...init, headers })
        },
      close: () => releasers.releaseAll(log),
    }
  } catch (error) {
    await releasers.releaseAll(log)
    throw error
  }
}

type Places = Pick<Landfall, 'connectionString' | 'dataDirectory' | 'storageEnv' | 'stored'>

/** Those of the node beside it, or those asked for, or else new ones, which go with it. */
async function placesOf(options: LandfallOptions, releasers: Releasers): Promise<Places> {
  if (options.beside) return options.beside
  const connectionString = options.connectionString ?? (await freshDatabase())
  const dataDirectory = options.dataDirectory ?? (await mkdtemp(join(tmpdir(), 'landfall-data-')))
  if (!options.dataDirectory) releasers.add('data', () => rm(dataDirectory, { recursive: true, force: true }))
  if (options.storage !== 's3') {
    return { connectionString, dataDirectory, storageEnv: {}, stored: storedOnDisk(dataDirectory) }
  }
  const bucket = await freshBucket()
  releasers.add('bucket', () => bucket.close())
  return { connectionString, dataDirectory, storageEnv: bucket.env(), stored: storedInBucket(bucket) }
}
