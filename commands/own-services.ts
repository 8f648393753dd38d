import { join } from 'node:path'
import type { ClamdAddress, Config, Environment } from '../server/config.ts'
import { startOwnClamd } from '../server/embedded/clamd.ts'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../server/embedded/postgres.ts'
import { refuseRestoring } from '../server/embedded/restoring.ts'
import { closeDataDirectory, makeDataDirectory } from '../server/process/data-directory.ts'
import type { Log } from '../server/process/log.ts'

// What a server runs for itself where nobody else does: its PostgreSQL and its clamd.

const ROOT = join(import.meta.dirname, '..')

/** Makes `DATA_DIR` where something of ours lives in it, and closes it to others. Fails where a restore was interrupted. */
export async function prepareDataDirectory(config: Config, log: Log): Promise<void> {
  await refuseRestoring(config.DATA_DIR)
  const isNeeded = config.DATABASE_URL === undefined || runsClamd(config)
  const prepare = isNeeded ? makeDataDirectory : closeDataDirectory
  for (const warning of await prepare(config.DATA_DIR)) log.warn(warning)
}

/** The database of `DATABASE_URL`, which somebody else runs, or else one of our own below `DATA_DIR`. */
export async function databaseOf({ DATABASE_URL, DATA_DIR }: Config, log: Log): Promise<EmbeddedPostgres> {
  if (DATABASE_URL === undefined) return await startEmbeddedPostgres(join(DATA_DIR, 'postgres'), log)
  // Connections to it are made anew, however often it goes away.
  return { connectionString: DATABASE_URL, lost: new Promise(() => {}), async stop() {} }
}

type UsedClamd = {
  /** Undefined where nothing is scanned. */
  address: ClamdAddress | undefined
  /** What a worker of ours is told in its environment. */
  forWorker: { CLAMD_URL?: string }
  stop(): Promise<void>
}

/** Whether it is one of our own. */
const runsClamd = ({ SCAN, CLAMD_URL }: Config): boolean => SCAN === 'required' && CLAMD_URL === undefined

/** One of our own, unless there is none to be or `CLAMD_URL` names somebody else's: that is never replaced by us. */
export async function clamdOf(config: Config, env: Environment, log: Log): Promise<UsedClamd> {
  if (!runsClamd(config)) {
    return { address: config.CLAMD_URL, forWorker: {}, async stop() {} }
  }
  const { address, stop } = await startOwnClamd({
    dataDirectory: config.DATA_DIR,
    signatureDirectories: [
      join(ROOT, '.runtime', 'clamav'),
      '/var/lib/clamav',
      '/opt/homebrew/var/lib/clamav',
      join(ROOT, 'processing', 'clamav'),
    ],
    searchPath: env.PATH ?? '',
    nice: config.WORKER_NICE,
    log,
  })
  return { address, forWorker: { CLAMD_URL: `unix:${address.socketPath}` }, stop }
}
