import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import jwt from 'jsonwebtoken'
import { type Ledger, openDatabase } from '../../ledger/database.ts'
import { createLog } from '../../server/process/log.ts'
import { Releasers } from '../../server/process/releasers.ts'
import { freshBucket } from '../support/bucket.ts'
import { freshDatabase, type Landfall, SECRET, type StorageKind } from '../support/landfall.ts'
import { type S3Proxy, startS3Proxy } from '../support/s3-proxy.ts'
import { enterableDirectory, type Run, runServer, stopRun } from '../support/server-process.ts'
import { type Stored, storedInBucket, storedOnDisk } from '../support/stored.ts'

/** One server process of several on the same database and storage. */
export type Node = Pick<Landfall, 'url' | 'token' | 'as'> & {
  run: Run
  /** Stands still from now on, as on a machine that sleeps: connections stay, nothing is read or sent. */
  freeze(): void
  thaw(): void
}

export type Pair = {
  a: Node
  /** Has the worker. */
  b: Node
  /** The way of A, and of nobody else, to the bucket; undefined on disk. */
  proxy: S3Proxy | undefined
  db: Ledger
  stored: Stored
  /** For other processes on the same database and storage. */
  env: Record<string, string>
  close(): Promise<void>
}

/** Two server processes and a worker on one database and one storage, all of them new. Nothing is scanned. */
export async function startPair(storage: StorageKind): Promise<Pair> {
  const log = createLog({ level: 'error', name: 'test' })
  const releasers = new Releasers()
  const close = () => releasers.releaseAll(log)
  try {
    const parent = await enterableDirectory()
    releasers.add('directory', () => rm(parent, { recursive: true, force: true }))
    const dataDirectory = join(parent, 'data')
    const bucket = storage === 's3' ? await freshBucket() : undefined
    if (bucket) releasers.add('bucket', () => bucket.close())
    const proxy = bucket && (await startS3Proxy(bucket.endpoint))
    if (proxy) releasers.add('proxy', () => proxy.close())
    const connectionString = await freshDatabase()
    const common = {
      DATABASE_URL: connectionString,
      DATA_DIR: dataDirectory,
      SCAN: 'off',
      UPLOAD_MAX_OPEN: '1000',
    }
    const env = { ...common, ...bucket?.env() }

    const start = async (own: Record<string, string>): Promise<Node> => {
      const run = runServer(dataDirectory, { env: own })
      // One that stands still would not hear of it.
      releasers.add('server', async () => {
        process.kill(run.pid, 'SIGCONT')
        await stopRun(run, dataDirectory)
      })
      return asNode(run, await run.address)
    }
    // One after the other: both would migrate.
    const a = await start({ ...common, ...bucket?.env(proxy?.url), WORKER: 'off' })
    const b = await start(env)
    const db = openDatabase({
      connectionString,
      maxConnections: 4,
      applicationName: 'test',
      onPoolError: () => {},
    })
    releasers.add('ledger', () => db.destroy())
    return {
      a,
      b,
      proxy,
      db,
      stored: bucket ? storedInBucket(bucket) : storedOnDisk(dataDirectory),
      env,
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

function asNode(run: Run, url: string): Node {
  const token = (sub: string, claims: object = {}) =>
    jwt.sign(claims, SECRET, { subject: sub, expiresIn: '1h' })
  return {
    url,
    run,
    token,
    as:
      (sub) =>
      async (path, init = {}) => {
        const headers = new Headers(init.headers)
        headers.set('Authorization', `Bearer ${token(sub)}`)
        return await fetch(new URL(path, url), { ...init, headers })
      },
    freeze: () => void process.kill(run.pid, 'SIGSTOP'),
    thaw: () => void process.kill(run.pid, 'SIGCONT'),
  }
}
