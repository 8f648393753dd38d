import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import jwt from 'jsonwebtoken'
import { NODE_FLAGS } from '../../server/process/node-flags.ts'
import { programOf } from '../../test/support/program.ts'
import type { Bucket } from '../services/bucket.ts'
import type { Database, DatabaseServer } from '../services/database.ts'
import { type Subject, startProgram } from './subject.ts'

/** Where a subject stores: a directory of its own, and a bucket of its own where it stores there. */
export type SubjectPlace = { directory: string; bucket: Bucket | null }

const ROOT = join(import.meta.dirname, '..', '..')
const SECRET = 'a secret of the benchmark, good for nothing else'

/** Starts the peer: the stock tus server with its stock store. */
export async function startStock({ directory, bucket }: SubjectPlace): Promise<Subject> {
  await mkdir(directory, { recursive: true })
  const program = join(import.meta.dirname, bucket ? 'stock-s3.ts' : 'stock-disk.ts')
  // S3Store gathers parts in temporary files, and leaves them behind when it is ended.
  const running = await startProgram(program, [], {
    BENCH_DIRECTORY: directory,
    TMPDIR: directory,
    ...(bucket ? s3Environment(bucket) : {}),
  })
  return {
    name: 'stock',
    headers: {},
    databasePid: undefined,
    removeFiles: () => emptyDirectory(directory),
    ...running,
  }
}

/** A checkout of Landfall, and the database that it alone uses. */
export type Checkout = { name: 'landfall' | 'before'; root: string; database: Database }

/** Another checkout of Landfall, and a PostgreSQL of its own: their migrations may differ. */
export type FormerCheckout = { root: string; database: DatabaseServer }

/** The checkout that this file belongs to. */
export const thisCheckout = (database: Database): Checkout => ({ name: 'landfall', root: ROOT, database })

/** Starts Landfall without its worker, on a database that runs already; `settings` go before ours. */
export async function startLandfall(
  place: SubjectPlace,
  { name, root, database }: Checkout,
  settings: Record<string, string>,
): Promise<Subject> {
  const { directory, bucket } = place
  const env = {
    DATA_DIR: directory,
    DATABASE_URL: database.url,
    PORT: '0',
    WORKER: 'off',
    SCAN: 'off',
    LOG_LEVEL: 'warn',
    AUTH_JWT_SECRET: SECRET,
    UPLOAD_MAX_SIZE: '10GB',
    UPLOAD_MIN_SIZE: '1',
    UPLOAD_MAX_OPEN: '1000000',
    ...(bucket
      ? { STORAGE: 's3', S3_FORCE_PATH_STYLE: 'true', ...s3Environment(bucket) }
      : { STORAGE: 'disk' }),
    ...settings,
  }
  // As its own scripts start it.
  const running = await startProgram(programOf(root), ['serve'], env, NODE_FLAGS)
  const token = jwt.sign({}, SECRET, { subject: 'bench', expiresIn: '1d' })
  return {
    name,
    databasePid: database.pid,
    headers: { Authorization: `Bearer ${token}` },
    removeFiles: () => emptyDirectory(join(directory, 'objects', 'uploads')),
    ...running,
  }
}

const s3Environment = (bucket: Bucket): Record<string, string> => ({
  S3_BUCKET: bucket.name,
  S3_ENDPOINT: bucket.endpoint,
  S3_REGION: bucket.region,
  AWS_ACCESS_KEY_ID: bucket.accessKeyId,
  AWS_SECRET_ACCESS_KEY: bucket.secretAccessKey,
})

/** Landfall makes no directory for files that it keeps in a bucket. */
async function emptyDirectory(directory: string): Promise<void> {
  const names = await readdir(directory).catch(() => [])
  await Promise.all(names.map((name) => rm(join(directory, name), { recursive: true })))
}
