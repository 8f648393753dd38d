import { join } from 'node:path'
import type { ClamdAddress, Config, Environment } from '../server/config.ts'
import { startOwnClamd } from '../server/embedded/clamd.ts'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../server/embedded/postgres.ts'
import { refuseRestoring } from '../server/embedded/restoring.ts'
import { closeDataDirectory, makeDataDirectory } from '../server/process/data-directory.ts'
import type { Log } from '../server/process/log.ts'
import type { Releasers } from '../server/process/releasers.ts'
import type { StopRequest } from '../server/process/signals.ts'

// The services of a server that is configured without external ones: PostgreSQL and clamd.

const ROOT = join(import.meta.dirname, '..')

/**
 * Opens everything that a server needs and is not external, closed by `releasers`. Ends early where the process is asked
 * to stop.
 */
export async function openOwnServices(
  config: Config,
  env: Environment,
  log: Log,
  { releasers, stop }: { releasers: Releasers; stop: StopRequest },
) {
  await prepareDataDirectory(config, log)
  const database = await databaseOf(config, log)
  releasers.add('embedded database', () => database.stop())
  stop.check()
  const clamd = await clamdOf(config, env, log)
  releasers.add('clamd', () => clamd.stop())
  stop.check()
  return { database, clamd }
}

/** Creates `DATA_DIR` where it is used, and closes it to other users. Fails where a restore was interrupted. */
async function prepareDataDirectory(config: Config, log: Log): Promise<void> {
  await refuseRestoring(config.DATA_DIR)
  const isNeeded = config.DATABASE_URL === undefined || runsClamd(config)
  const prepare = isNeeded ? makeDataDirectory : closeDataDirectory
  for (const warning of await prepare(config.DATA_DIR)) log.warn(warning)
}

/** The database of `DATABASE_URL`, or else an embedded one below `DATA_DIR`. */
async function databaseOf({ DATABASE_URL, DATA_DIR }: Config, log: Log): Promise<EmbeddedPostgres> {
  if (DATABASE_URL === undefined) {
    const { wasRunning, ...database } = await startEmbeddedPostgres(join(DATA_DIR, 'postgres'), log)
    if (wasRunning) log.info('took over the embedded database of a server that was killed')
    return database
  }
  // An external database may come back at any time: connections to it are opened again.
  return { connectionString: DATABASE_URL, lost: new Promise(() => {}), async stop() {} }
}

type UsedClamd = {
  /** Undefined where scanning is off. */
  address: ClamdAddress | undefined
  /** For the environment of the worker. */
  forWorker: { CLAMD_URL?: string }
  stop(): Promise<void>
}

/** Whether this server runs its own clamd. */
const runsClamd = ({ SCAN, CLAMD_URL }: Config): boolean => SCAN === 'required' && CLAMD_URL === undefined

/** Starts an own clamd, unless scanning is off or `CLAMD_URL` names an external one. */
async function clamdOf(config: Config, env: Environment, log: Log): Promise<UsedClamd> {
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
