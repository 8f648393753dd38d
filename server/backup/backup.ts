import { opendir } from 'node:fs/promises'
import { join, relative, sep } from 'node:path'
import { PassThrough } from 'node:stream'
import { createGzip } from 'node:zlib'
import { withBackupLock } from '../../ledger/backup-lock.ts'
import type { Ledger } from '../../ledger/database.ts'
import { type DumpedJob, dumpLedger } from '../../ledger/dump.ts'
import { onCode } from '../../system/error-code.ts'
import { type ArchiveWriter, chunksOf } from './archive-writer.ts'
import { DEVELOPMENT_SECRET, JOBS, type Manifest, OBJECTS, tableFile } from './layout.ts'
import { forEachInParallel, withProgress } from './progress.ts'

export type BackupOptions = {
  db: Ledger
  archive: ArchiveWriter
  dataDirectory: string
  storage: Manifest['storage']
}

const COPIES_AT_A_TIME = 4
/** Temporary files: nothing refers to them. */
const UNFINISHED = /\.tmp$|\.joining$/

/**
 * Copies the database as of one moment, and then the objects. Objects never change once they are written, and an open
 * upload's only grows, so the files contain everything that the database refers to. What is deleted meanwhile may be
 * missing; what is moved to a bucket is not, as former copies are kept until the backup ends.
 */
export async function writeBackup(options: BackupOptions): Promise<Manifest> {
  return await withBackupLock(options.db, (checkKept) => write(options, checkKept))
}

async function write(
  { db, archive, dataDirectory, storage }: BackupOptions,
  checkKept: () => Promise<void>,
): Promise<Manifest> {
  const progress = { what: 'database', count: 0, bytes: 0 }
  const line = () => `backup: ${progress.what}, ${progress.count}, ${Math.round(progress.bytes / 1e6)} MB`
  return await withProgress(line, async () => {
    const { dump, jobs } = await writeDatabase(db, archive, progress)
    await archive.add(JOBS, chunksOf([JSON.stringify(jobs)]))
    await archive.copy(DEVELOPMENT_SECRET, join(dataDirectory, DEVELOPMENT_SECRET))
    Object.assign(progress, { what: 'objects', count: 0, bytes: 0 })
    const goneMeanwhile = await copyObjects(join(dataDirectory, OBJECTS), archive, progress)
    await checkKept()
    return await archive.finish({
      takenAt: dump.takenAt.toISOString(),
      migrations: dump.migrations,
      rows: dump.rows,
      storage,
      objects: { count: progress.count, bytes: progress.bytes, goneMeanwhile },
    })
  })
}

async function writeDatabase(
  db: Ledger,
  archive: ArchiveWriter,
  progress: { what: string; count: number; bytes: number },
) {
  let jobs: readonly DumpedJob[] = []
  let file: TableFile | undefined
  const dump = await dumpLedger(db, {
    async rows(table, rows) {
      if (file?.table !== table) {
        await file?.end()
        file = openTable(table, archive)
        progress.what = table
        progress.count = 0
      }
      progress.count += rows.length
      await file.write(`${rows.join('\n')}\n`)
    },
    async jobs(found) {
      jobs = found
    },
  }).catch((error: unknown) => {
    file?.stop()
    throw error
  })
  await file?.end()
  return { dump, jobs }
}

type TableFile = { table: string; write(text: string): Promise<void>; end(): Promise<void>; stop(): void }

/** A compressed file of rows, one per line. */
function openTable(table: string, archive: ArchiveWriter): TableFile {
  const lines = new PassThrough()
  const gzip = createGzip({ level: 3 })
  const written = archive.add(tableFile(table), lines.pipe(gzip))
  // The next write, or the end, waits for it and fails.
  written.catch(() => {})
  return {
    table,
    async write(text) {
      const isRoom = lines.write(text)
      if (isRoom) return
      await Promise.race([new Promise((resolve) => lines.once('drain', resolve)), written])
    },
    async end() {
      lines.end()
      await written
    },
    stop() {
      gzip.destroy()
    },
  }
}

/** Returns how many no longer existed. */
async function copyObjects(
  directory: string,
  archive: ArchiveWriter,
  progress: { count: number; bytes: number },
): Promise<number> {
  let gone = 0
  await forEachInParallel(filesBelow(directory), COPIES_AT_A_TIME, async (path) => {
    const bytes = await archive.copy(`${OBJECTS}/${relative(directory, path).split(sep).join('/')}`, path)
    if (bytes === undefined) gone += 1
    else {
      progress.count += 1
      progress.bytes += bytes
    }
  })
  return gone
}

/** Every file below a folder except temporary ones; missing folders are empty. */
async function* filesBelow(directory: string): AsyncGenerator<string> {
  const entries = await opendir(directory).catch(onCode(['ENOENT'], undefined))
  if (!entries) return
  for await (const entry of entries) {
    const path = join(directory, entry.name)
    if (UNFINISHED.test(entry.name)) continue
    if (entry.isDirectory()) yield* filesBelow(path)
    else if (entry.isFile()) yield path
  }
}
