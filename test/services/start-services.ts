import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { createQueues, openQueues } from '../../jobs/queues.ts'
import { openDatabase } from '../../ledger/database.ts'
import { migrateToLatest } from '../../ledger/migrate.ts'
import { startEmbeddedPostgres } from '../../server/embedded/postgres.ts'
import { createLog } from '../../server/process/log.ts'
import { Releasers } from '../../server/process/releasers.ts'
import { startCephInBackground } from './ceph.ts'
import { startClamd } from './clamd.ts'
import type { Provided } from './global-setup.ts'
import { requires } from './requirements.ts'

const TEMPLATE = 'landfall_template'

export type TestServices = { provided: Provided; stop(): Promise<void> }

/** Starts a PostgreSQL, a clamd and, where it is wanted and installed, a Ceph, for the whole run. */
export async function startServices(options: { ceph: boolean }): Promise<TestServices> {
  const log = createLog({ level: 'warn', name: 'test-services' })
  const releasers = new Releasers()
  try {
    const directory = await mkdtemp(join(tmpdir(), 'landfall-test-'))
    // As root, PostgreSQL runs as another user, who has to get through.
    await chmod(directory, 0o755)
    releasers.add('directory', () => rm(directory, { recursive: true, force: true }))

    // Nobody but the tests of S3 waits for it.
    const isWanted = options.ceph && requires('ceph').met
    const ceph = isWanted ? await startCephInBackground(join(directory, 'ceph')) : undefined
    if (ceph) releasers.add('ceph', () => ceph.stop())

    const postgres = await startEmbeddedPostgres(join(directory, 'postgres'), log)
    releasers.add('postgres', () => postgres.stop())
    await createTemplate(postgres.connectionString)

    const clamd = await startClamd(join(directory, 'clamd'))
    releasers.add('clamd', () => clamd.stop())

    const provided = {
      postgresUrl: postgres.connectionString,
      postgresTemplate: TEMPLATE,
      clamdUrl: clamd.url,
      s3: ceph?.access ?? null,
      s3StatusFile: ceph?.statusFile ?? '',
    }
    return { provided, stop: () => releasers.releaseAll(log) }
  } catch (error) {
    await releasers.releaseAll(log)
    throw error
  }
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
