import { access } from 'node:fs/promises'
import { resolve } from 'node:path'
import { MAINTENANCE_DEADLINES } from '../ledger/deadlines.ts'
import { ArchiveWriter } from '../server/backup/archive-writer.ts'
import { writeBackup } from '../server/backup/backup.ts'
import { CommandFailure, failureOf } from '../server/process/command-failure.ts'
import { storageOptionsOf } from '../server/storage-options.ts'
import { type Command, done, UsageError } from './command.ts'
import { type LedgerCommand, withLedger } from './with-ledger.ts'

/** Copies database and objects into a folder, with or without a running server. */
export const command: Command = {
  usage: 'DIR',
  details: [
    'The server may keep running: the backup is a snapshot. DIR is created, or must be empty.',
    'Objects in a bucket are not copied. "landfall restore" reads the backup, and "sha256sum -c files.sha256" verifies it.',
  ],
  takesPositionals: true,
  async run({ env, positionals: [directory, ...rest] }) {
    if (directory === undefined || rest.length > 0)
      throw new UsageError('backup takes the folder to write to')
    const write = async ({ config, db, releasers }: LedgerCommand) => {
      const options = storageOptionsOf(config)
      if (options.primary === 'disk') {
        await access(options.disk.directory).catch(() => {
          throw new CommandFailure(
            `no objects were found below ${config.DATA_DIR}: is this the DATA_DIR of the server?`,
          )
        })
      }
      const target = resolve(directory)
      const archive = await ArchiveWriter.create(target)
      releasers.add('unfinished backup', () => archive.abandon())
      const { takenAt, objects } = await writeBackup({
        db,
        archive,
        dataDirectory: config.DATA_DIR,
        storage: { kind: options.primary, bucket: options.s3?.bucket ?? null },
      }).catch((error: unknown) => {
        throw failureOf(error, `the backup to ${target} failed, and nothing of it is left`)
      })
      const lines = [
        `backup of ${takenAt} in ${target}: database and ${objects.count} objects, ${objects.bytes} bytes`,
        ...(objects.goneMeanwhile > 0 ? [`objects deleted during the backup: ${objects.goneMeanwhile}`] : []),
        ...(options.s3 ? [`objects in bucket ${options.s3.bucket} are not part of the backup`] : []),
      ]
      return done(lines, { directory: target, takenAt, objects })
    }
    return await withLedger(env, 'backup', write, MAINTENANCE_DEADLINES)
  },
}
