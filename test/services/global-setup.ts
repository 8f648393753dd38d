import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import type { TestProject } from 'vitest/node'
import { createQueues, openQueues } from '../../jobs/queues.ts'
import { openDatabase } from '../../ledger/database.ts'
import { migrateToLatest } from '../../ledger/migrate.ts'
import { startEmbeddedPostgres } from '../../server/embedded/postgres.ts'
import { createLog } from '../../server/process/log.ts'
import { Releasers } from '../../server/process/releasers.ts'
import { type S3Access, startCephInBackground } from './ceph.ts'
import { startClamd } from './clamd.ts'
import { requires } from './requirements.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** A database of the run's PostgreSQL from which others can be made. */
    postgresUrl: string
    /** Name of a migrated database to copy. */
    postgresTemplate: string
    /** `CLAMD_URL` of a clamd that knows the EICAR test file; nothing listens there without clamd. */
    clamdUrl: string
    /** The S3 gateway, which may still be starting: `freshBucket()` waits for it. Null where Ceph is missing. */
    s3: S3Access | null
    /** Tells how its start went; see `CephStatus`. */
    s3StatusFile: string
  }
}

const TEMPLATE = 'landfall_template'

/**
 * Starts one PostgreSQL, one clamd and one Ceph for the whole run. Every test file copies a database of its own and
 * makes its own buckets.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const log = createLog({ level: 'warn', name: 'test-services' })
  const releasers = new Releasers()
  try {
    const directory = await mkdtemp(join(tmpdir(), 'landfall-test-'))
    // As root, PostgreSQL runs as another user, who has to get through.
    await chmod(directory, 0o755)
    releasers.add('directory', () => rm(directory, { recursive: true, force: true }))

    // Nobody but the tests of S3 waits for it.
    const ceph = requires('ceph').met ? await startCephInBackground(join(directory, 'ceph')) : undefined
    if (ceph) releasers.add('ceph', () => ceph.stop())
    project.provide('s3', ceph?.access ?? null)
    project.provide('s3StatusFile', ceph?.statusFile ?? '')

    const postgres = await startEmbeddedPostgres(join(directory, 'postgres'), log)
    releasers.add('postgres', () => postgres.stop())
    await createTemplate(postgres.connectionString)

    const clamd = await startClamd(join(directory, 'clamd'))
    releasers.add('clamd', () => clamd.stop())

    project.provide('postgresUrl', postgres.connectionString)
    project.provide('postgresTemplate', TEMPLATE)
    project.provide('clamdUrl', clamd.url)
  } catch (error) {
    await releasers.releaseAll(log)
    throw error
  }
  return () => releasers.releaseAll(log)
}

async function createTemplate(postgresUrl: string): Promise<void> {
  const client = new pg.Client(postgresUrl)
  await client.connect()
  await client.query(`create database ${TEMPLATE}`)
  await client.end()

  const connectionString = Object.assign(new URL(postgresUrl), { pathname: `/${TEMPLATE}` }).href
  const onError = (error: unknown): never => {
    throw error
  }
  const db = openDatabase({
    connectionString,
    maxConnections: 2,
    applicationName: 'test-template',
    onPoolError: onError,
  })
  await migrateToLatest(db)
  const boss = await openQueues({ db, supervise: false, onError })
  await createQueues(boss)
  await boss.stop({ close: false, graceful: false })
  await db.destroy()
}
