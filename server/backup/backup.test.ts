import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'kysely'
import { beforeEach, expect, it, onTestFinished, vi } from 'vitest'
import { createQueues, openQueues } from '../../jobs/queues.ts'
import { isAnyBackupRunning } from '../../ledger/backup-lock.ts'
import type { Ledger } from '../../ledger/database.ts'
import { freshDatabase } from '../../test/support/landfall.ts'
import { openLedger } from '../../test/support/ledger.ts'
import { ArchiveWriter } from './archive-writer.ts'
import { writeBackup } from './backup.ts'

let db: Ledger
let parent: string
const storage = { kind: 'disk', bucket: null } as const

beforeEach(async () => {
  db = openLedger(await freshDatabase())
  onTestFinished(() => db.destroy())
  const boss = await openQueues({ db, supervise: false, onError: () => {} })
  await createQueues(boss)
  await boss.stop({ close: false, graceful: false })
  parent = await mkdtemp(join(tmpdir(), 'landfall-backup-'))
  onTestFinished(() => rm(parent, { recursive: true, force: true }))
  await mkdir(join(parent, 'data/objects'), { recursive: true })
  await writeFile(join(parent, 'data/objects/file'), 'bytes')
})

/** Does something when the file is about to be copied. */
function whenCopying(work: () => Promise<unknown>): void {
  const copy = ArchiveWriter.prototype.copy
  const spy = vi.spyOn(ArchiveWriter.prototype, 'copy').mockImplementation(async function (
    this: ArchiveWriter,
    ...args
  ) {
    if (args[0] === 'objects/file') await work()
    return await copy.apply(this, args)
  })
  onTestFinished(() => spy.mockRestore())
}

async function backUp() {
  const archive = await ArchiveWriter.create(join(parent, 'backup'))
  try {
    return await writeBackup({ db, archive, dataDirectory: join(parent, 'data'), storage })
  } finally {
    await archive.abandon()
  }
}

it('has files kept until all are copied', async () => {
  let isKept = false
  whenCopying(async () => {
    isKept = await isAnyBackupRunning(db)
  })
  expect(await backUp()).toMatchObject({ objects: { count: 1 } })
  expect(isKept).toBe(true)
  expect(await isAnyBackupRunning(db)).toBe(false)
})

it('fails where they may not have been kept', async () => {
  whenCopying(() =>
    sql`select pg_terminate_backend(pid) from pg_locks
       where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())`.execute(
      db,
    ),
  )
  await expect(backUp()).rejects.toThrow()
  expect(await readdir(parent)).toEqual(['data'])
})
