import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { createGunzip } from 'node:zlib'
import { z } from 'zod'
import { createQueues, enqueueRestored, enqueueRestoredSteps, openQueues } from '../../jobs/queues.ts'
import type { Ledger } from '../../ledger/database.ts'
import { loadLedger } from '../../ledger/dump.ts'
import { migrateToLatest, migrateToSchemaOf } from '../../ledger/migrate.ts'
import { parseJson } from '../../system/parse-json.ts'
import { CommandFailure } from '../process/command-failure.ts'
import { openForReading, writeHashed } from './hashed-copy.ts'
import {
  CHECKSUMS,
  DEVELOPMENT_SECRET,
  JOBS,
  MANIFEST,
  type Manifest,
  manifestSchema,
  OBJECTS,
  tableFile,
} from './layout.ts'
import { forEachInParallel, withProgress } from './progress.ts'

const COPIES_AT_A_TIME = 4
const ROWS_AT_A_TIME = 500

export type Archive = { directory: string; manifest: Manifest; sums: ReadonlyMap<string, string> }

/** Reads the manifest of a backup. Fails with `CommandFailure` where it is not complete. */
export async function openArchive(directory: string): Promise<Archive> {
  const text = await readFile(join(directory, MANIFEST), 'utf8').catch(() => undefined)
  if (text === undefined) {
    throw new CommandFailure(`${directory} is not a complete backup: it has no ${MANIFEST}`)
  }
  const manifest = manifestSchema.safeParse(parseJson(text))
  if (!manifest.success) {
    throw new CommandFailure(`${directory} is not a backup that this release can read: see ${MANIFEST}`)
  }
  const list = await readFile(join(directory, CHECKSUMS)).catch(() => Buffer.alloc(0))
  if (createHash('sha256').update(list).digest('hex') !== manifest.data.checksumsSha256) {
    throw damaged(CHECKSUMS)
  }
  const sums = new Map<string, string>()
  for (const line of list.toString().split('\n')) {
    const [, sha256, path] = /^([0-9a-f]{64}) {2}(.+)$/.exec(line) ?? []
    if (!sha256 || !path) continue
    if (path.startsWith('/') || path.split('/').includes('..')) throw damaged(CHECKSUMS)
    sums.set(path, sha256)
  }
  return { directory, manifest: manifest.data, sums }
}

/** Copies the files for `DATA_DIR`, each checked on the way. */
export async function restoreFiles({ directory, sums }: Archive, to: string): Promise<void> {
  const isFile = (path: string) => path.startsWith(`${OBJECTS}/`) || path === DEVELOPMENT_SECRET
  const files = [...sums].filter(([path]) => isFile(path))
  let copied = 0
  const made = new Set<string>()
  const restoreOne = async ([path, expected]: [path: string, sha256: string]) => {
    const target = join(to, path)
    const folder = dirname(target)
    if (!made.has(folder)) await mkdir(folder, { recursive: true, mode: 0o700 })
    made.add(folder)
    const source = await openForReading(join(directory, path)).catch(() => {
      throw damaged(path)
    })
    const { sha256 } = await writeHashed(target, source)
    if (sha256 !== expected) throw damaged(path)
    copied += 1
  }
  const line = () => `restore: ${copied} of ${files.length} files`
  await withProgress(line, () => forEachInParallel(files, COPIES_AT_A_TIME, restoreOne))
}

const jobsSchema = z.array(z.object({ name: z.string(), data: z.unknown() }))

/** Checks everything but the objects, which are checked while they are copied. Fails with `CommandFailure`. */
export async function checkTables(archive: Archive): Promise<void> {
  for (const path of archive.sums.keys()) if (!path.startsWith(`${OBJECTS}/`)) await check(archive, path)
}

/** Fills an empty database with checked tables: in the schema of the backup, then migrated. */
export async function restoreDatabase(
  archive: Archive,
  db: Ledger,
  onError: (error: unknown) => void,
): Promise<void> {
  const { manifest } = archive
  const unknown = await migrateToSchemaOf(db, manifest.migrations)
  if (unknown.length > 0) {
    throw new CommandFailure(
      `the backup was made by a newer release, which has migrations that this one lacks: ${unknown.join(', ')}`,
    )
  }
  const boss = await openQueues({ db, supervise: false, onError })
  try {
    await createQueues(boss)
    const jobs = jobsSchema.parse(parseJson(await readFile(join(archive.directory, JOBS), 'utf8')))
    const counts = await loadLedger(
      db,
      (table) => rowsOf(archive, table),
      (trx) => enqueueRestored(boss, trx, jobs),
    )
    for (const [table, rows] of Object.entries(manifest.rows)) {
      if (counts[table] !== rows) throw damaged(tableFile(table))
    }
    await migrateToLatest(db)
    await enqueueRestoredSteps(boss, db, jobs)
  } finally {
    await boss.stop({ close: false, graceful: false })
  }
}

async function check({ directory, sums }: Archive, path: string): Promise<void> {
  const hash = createHash('sha256')
  try {
    for await (const chunk of await openForReading(join(directory, path))) hash.update(chunk)
  } catch {
    throw damaged(path)
  }
  if (hash.digest('hex') !== sums.get(path)) throw damaged(path)
}

async function* rowsOf({ directory, sums }: Archive, table: string): AsyncGenerator<string[]> {
  const path = tableFile(table)
  if (!sums.has(path)) return
  const input = createReadStream(join(directory, path)).pipe(createGunzip())
  let batch: string[] = []
  for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
    batch.push(line)
    if (batch.length < ROWS_AT_A_TIME) continue
    yield batch
    batch = []
  }
  if (batch.length > 0) yield batch
}

function damaged(path: string): CommandFailure {
  return new CommandFailure(`the backup is damaged: ${path} does not match its checksum`)
}
