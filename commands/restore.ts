import { chmod, mkdir, rename, rm, rmdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { type Ledger, openDatabase } from '../ledger/database.ts'
import { MAINTENANCE_DEADLINES } from '../ledger/deadlines.ts'
import { isEmptyLedger, isUnusedDatabase } from '../ledger/dump.ts'
import { schemaState } from '../ledger/schema-state.ts'
import { DEVELOPMENT_SECRET, OBJECTS } from '../server/backup/layout.ts'
import {
  type Archive,
  checkTables,
  openArchive,
  restoreDatabase,
  restoreFiles,
} from '../server/backup/restore.ts'
import { type Config, parseConfig } from '../server/config.ts'
import { startEmbeddedPostgres } from '../server/embedded/postgres.ts'
import { RESTORING } from '../server/embedded/restoring.ts'
import { CommandFailure, failureOf } from '../server/process/command-failure.ts'
import { contentsOf, makeDataDirectory } from '../server/process/data-directory.ts'
import { createLog, type Log } from '../server/process/log.ts'
import { messageOf } from '../server/process/message-of.ts'
import { Releasers } from '../server/process/releasers.ts'
import { onCode } from '../system/error-code.ts'
import { type Command, done, UsageError } from './command.ts'
import { stopOnSignals } from './with-ledger.ts'

/** Fills an empty `DATA_DIR`, or an empty database and `DATA_DIR`, with a backup. */
export const command: Command = {
  usage: 'DIR',
  details: [
    'DATA_DIR must be empty or missing. The database of DATABASE_URL, if set, must be empty.',
    'Every file is verified. After an interruption, empty DATA_DIR and start again.',
  ],
  takesPositionals: true,
  async run({ env, positionals: [directory, ...rest] }) {
    if (directory === undefined || rest.length > 0)
      throw new UsageError('restore takes the folder of a backup')
    const config = parseConfig(env, { auth: false })
    const archive = await openArchive(resolve(directory))
    const { takenAt, storage, objects } = archive.manifest
    if (storage.kind !== config.STORAGE) {
      throw new CommandFailure(
        `the backup was made with STORAGE=${storage.kind}: restore it with the same setting`,
      )
    }
    await refuseFilled(config.DATA_DIR)
    const log = createLog({ level: env.LOG_LEVEL ? config.LOG_LEVEL : 'warn', name: 'landfall-restore' })
    await fill(archive, config, log)
    const { DATA_DIR: dataDirectory } = config
    const line = `restored the backup of ${takenAt} to ${dataDirectory}: ${objects.count} objects`
    return done([line], { dataDirectory, takenAt, objects })
  },
}

async function refuseFilled(dataDirectory: string): Promise<void> {
  const there = await contentsOf(dataDirectory).catch((error: unknown) => {
    throw failureOf(error, `DATA_DIR cannot be written`)
  })
  if (there.includes(RESTORING)) {
    throw new CommandFailure(
      `${dataDirectory} is not empty: a restore is running or was interrupted. If it was interrupted, empty the directory and restore again`,
    )
  }
  if (there.length > 0) throw new CommandFailure(`${dataDirectory} is not empty: nothing was restored`)
}

/** Everything is written in a marked folder of `DATA_DIR`, and moved to its place when it is complete. */
async function fill(archive: Archive, config: Config, log: Log): Promise<void> {
  const draft = join(config.DATA_DIR, RESTORING)
  await makeDataDirectory(config.DATA_DIR)
  await mkdir(draft)
  const releasers = new Releasers()
  stopOnSignals(() => releasers.releaseAll(log))
  try {
    const { DATABASE_URL: external } = config
    const embedded = external === undefined ? await startIn(draft, log) : undefined
    if (embedded) releasers.add('embedded database', () => embedded.stop())
    const onError = (error: unknown) => log.error({ err: error }, 'background work failed')
    const db = openDatabase({
      connectionString: embedded?.connectionString ?? external ?? '',
      maxConnections: 3,
      applicationName: 'landfall-restore',
      deadlines: MAINTENANCE_DEADLINES,
      onPoolError: onError,
    })
    releasers.add('database', () => db.destroy())
    if (!embedded) await refuseUsed(db)
    await checkTables(archive)
    await restoreFiles(archive, draft)
    // Last, in one transaction: an interrupted restore leaves the database of DATABASE_URL empty.
    await restoreDatabase(archive, db, onError)
  } catch (error) {
    await releasers.releaseAll(log)
    await rm(draft, { recursive: true, force: true })
    throw failureOf(error, `nothing was restored to ${config.DATA_DIR}`)
  }
  await releasers.releaseAll(log)
  // The database last: a server that is started too early finds the unfinished restore.
  for (const name of [OBJECTS, DEVELOPMENT_SECRET, 'postgres']) {
    const moved = rename(join(draft, name), join(config.DATA_DIR, name))
    await moved.catch(onCode(['ENOENT'], undefined))
  }
  await rmdir(draft)
}

async function startIn(draft: string, log: Log) {
  // PostgreSQL's user has to pass through when we are root; the folder is gone soon.
  if (process.getuid?.() === 0) await chmod(draft, 0o711)
  return await startEmbeddedPostgres(join(draft, 'postgres'), log)
}

async function refuseUsed(db: Ledger): Promise<void> {
  const isFree = await schemaState(db)
    .then(async ({ isLedger }) => (isLedger ? await isEmptyLedger(db) : await isUnusedDatabase(db)))
    .catch((error: unknown) => {
      throw new CommandFailure(`the database does not answer (${messageOf(error)})`, { cause: error })
    })
  if (!isFree) throw new CommandFailure('the database of DATABASE_URL is not empty: nothing was restored')
}
