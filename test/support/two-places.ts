import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { Backend } from '../../ledger/storage-places.ts'
import { parseConfig } from '../../server/config.ts'
import { keyPrefixesOf, storageOptionsOf } from '../../server/storage-options.ts'
import { StrayRemover } from '../../storage/moving/remove-strays.ts'
import { openStorage, type Storage } from '../../storage/storage.ts'
import { freshBucket } from './bucket.ts'
import { runCommand } from './command.ts'
import { type Landfall, type LandfallOptions, startLandfall } from './landfall.ts'
import { type Stored, storedInBucket, storedOnDisk } from './stored.ts'

/** A Landfall that has the settings of a disk and of a bucket. */
export type TwoPlaces = {
  places: Record<Backend, Stored>
  dataDirectory: string
  /** Everything but `STORAGE`. */
  env: Record<string, string>
  /** A server, with a worker unless it says otherwise, on the same ledger; new uploads go to this backend. */
  start(storage: Backend, options?: LandfallOptions): Promise<Landfall>
  /** The command, as a process of its own. */
  move(
    landfall: Landfall,
    to: Backend,
  ): Promise<{ exitCode: number | undefined; stdout: string; stderr: string }>
  /** What a command or a worker opens. */
  open(landfall: Landfall): Promise<{ storage: Storage; keyPrefixes: Record<Backend, string> }>
  /** Removes former copies as a worker does, whatever their time. */
  removeFormer(landfall: Landfall): Promise<number>
}

/** Everything is closed and removed when the test is over. */
export async function twoPlaces(more: Record<string, string> = {}): Promise<TwoPlaces> {
  const bucket = await freshBucket()
  onTestFinished(() => bucket.close())
  const dataDirectory = await mkdtemp(join(tmpdir(), 'landfall-data-'))
  onTestFinished(() => rm(dataDirectory, { recursive: true, force: true }))
  const { STORAGE: _, ...access } = bucket.env()
  const env = { SCAN: 'off', UPLOAD_MAX_OPEN: '100', ...access, ...more }
  let connectionString: string | undefined

  async function open({ db }: Landfall) {
    const config = parseConfig({ ...env, DATA_DIR: dataDirectory }, { auth: false })
    const storage = await openStorage(storageOptionsOf(config), db, { target: 's3' })
    onTestFinished(() => storage.close())
    return { storage, keyPrefixes: keyPrefixesOf(config) }
  }
  return {
    places: { disk: storedOnDisk(dataDirectory), s3: storedInBucket(bucket) },
    dataDirectory,
    env,
    async start(storage, options = {}) {
      const landfall = await startLandfall({
        dataDirectory,
        ...(connectionString === undefined ? {} : { connectionString }),
        ...options,
        env: { ...env, STORAGE: storage, ...options.env },
      })
      connectionString = landfall.connectionString
      onTestFinished(() => landfall.close())
      return landfall
    },
    async move(landfall, to) {
      return await runCommand(dataDirectory, ['move', '--to', to], {
        DATABASE_URL: landfall.connectionString,
        ...env,
        STORAGE: to,
      })
    },
    open,
    async removeFormer(landfall) {
      await landfall.db
        .updateTable('landfall.stray_copies')
        .set({ due_at: new Date(0) })
        .execute()
      const { storage } = await open(landfall)
      const remover = new StrayRemover({
        db: landfall.db,
        storage,
        onFailure({ error }) {
          throw error
        },
      })
      return await remover.removeDue(new AbortController().signal)
    },
  }
}

export const otherThan = (backend: Backend): Backend => (backend === 'disk' ? 's3' : 'disk')
