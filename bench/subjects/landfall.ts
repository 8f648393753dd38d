import { join } from 'node:path'
import jwt from 'jsonwebtoken'
import { NODE_FLAGS } from '../../server/process/node-flags.ts'
import { programOf } from '../../test/support/program.ts'
import type { Database, DatabaseServer } from '../services/database.ts'
import { emptyDirectory, type SubjectPlace, s3Environment } from './place.ts'
import { type Subject, startProgram } from './subject.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const SECRET = 'a secret of the benchmark, good for nothing else'

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
    // There is no such directory for files that are kept in a bucket.
    removeFiles: () => emptyDirectory(join(directory, 'objects', 'uploads')),
    ...running,
  }
}
