import { Bus } from '../ledger/bus.ts'
import { openDatabase } from '../ledger/database.ts'
import { pendingMigrations } from '../ledger/migrate.ts'
import { DiskObjects } from '../storage/disk/disk-objects.ts'
import type { Format } from '../storage/formats.ts'
import { Ffmpeg } from './ffmpeg.ts'
import { openQueues } from './queues.ts'
import { Scanner, type ScannerOptions } from './scanner.ts'
import type { MediaLimits } from './step.ts'
import { startWorker, type Worker, type WorkerOptions } from './worker.ts'

export type WorkerProcessOptions = {
  connectionString: string
  objectsDirectory: string
  concurrency: number
  /** How long a deleted media keeps its bytes. */
  retentionMs: number
  databasePool: number
  /** Undefined when scanning is switched off. */
  clamd: ScannerOptions | undefined
  ffmpegPath: string
  ffprobePath: string
  allowedFormats: readonly Format[]
  limits: MediaLimits
  log: WorkerOptions['log']
}

/** Opens everything that a worker needs and starts it; closing it closes all of that. */
export async function runWorker(options: WorkerProcessOptions): Promise<Worker> {
  const { connectionString, log } = options
  const onError = (error: unknown) => log.error({ err: error }, 'background work failed')
  const db = openDatabase({
    connectionString,
    maxConnections: options.databasePool,
    applicationName: 'landfall-worker',
    onPoolError: onError,
  })
  const undo = [() => db.destroy()]
  const close = async () => {
    for (const release of undo.reverse()) await release()
  }
  try {
    const pending = await pendingMigrations(db)
    if (pending.length > 0)
      throw new Error(`the database lacks migrations: run "landfall migrate" (${pending.join(', ')})`)
    const bus = await Bus.open({ connectionString, db, onError })
    undo.push(() => bus.close())
    const boss = await openQueues({ db, supervise: true, onError })
    const worker = await startWorker({
      boss,
      bus,
      concurrency: options.concurrency,
      retentionMs: options.retentionMs,
      log,
      tools: {
        db,
        objects: await DiskObjects.open(options.objectsDirectory),
        ffmpeg: new Ffmpeg(options),
        scanner: options.clamd === undefined ? undefined : new Scanner(options.clamd),
        allowedFormats: options.allowedFormats,
        limits: options.limits,
      },
    })
    undo.push(() => worker.close())
  } catch (error) {
    await close()
    throw error
  }
  return { close }
}
