import { dirname } from 'node:path'
import type { OwnHooks } from '../hooks/own/own-hooks.ts'
import { openQueues } from '../jobs/queues.ts'
import { Bus } from '../ledger/bus.ts'
import { type Ledger, openDatabase } from '../ledger/database.ts'
import { requireSchema } from '../ledger/migrate.ts'
import { DiskSpace } from '../storage/disk/disk-space.ts'
import { FileSystem } from '../storage/disk/file-system.ts'
import { linkKey } from '../storage/signed-path.ts'
import { openStorage, type Storage, type StorageOptions } from '../storage/storage.ts'
import {
  openSandbox,
  type SandboxKind,
  type SandboxOptions,
  type SandboxWish,
} from '../system/tool-sandbox.ts'
import type { AnalysisOptions } from './analysis/engine.ts'
import { watchDatabase } from './database-watch.ts'
import { watchStarvation } from './starvation.ts'
import { type Scratch, startScratchCleaner } from './step/scratch.ts'
import type { Tools } from './step/step.ts'
import { Converters } from './tools/converters.ts'
import { Ffmpeg } from './tools/ffmpeg.ts'
import { Scanner, type ScannerOptions } from './tools/scanner.ts'
import { startDispatcher, type WebhookOptions } from './webhooks/dispatcher.ts'
import { startWorker, type Worker, type WorkerOptions } from './worker.ts'

/** What the configuration says of steps. */
type StepSettings = Pick<
  Tools,
  'accepted' | 'limits' | 'deepCheck' | 'scanOversize' | 'dedup' | 'publicPrefix' | 'thumbnails' | 'hls'
>

export type WorkerProcessOptions = Pick<
  WorkerOptions,
  'concurrency' | 'retentionMs' | 'retention' | 'log'
> & {
  connectionString: string
  storage: StorageOptions
  databasePool: number
  /** The address of clamd, or a function that finds it for each scan; undefined when scanning is switched off. */
  clamd: ScannerOptions | (() => Promise<ScannerOptions | undefined>) | undefined
  ffmpegPath: string
  ffprobePath: string
  /** The sandbox of ffmpeg and ffprobe. */
  toolSandbox: SandboxOptions & { wish: SandboxWish; found?: SandboxKind | undefined }
  /** Called with the sandbox that was chosen. */
  onSandbox?: (kind: SandboxKind) => void
  steps: StepSettings
  /** The engine that analyses files; undefined where there is none. */
  analysis: Omit<AnalysisOptions, 'linkKey'> | undefined
  /** Opens the hooks of the application. */
  hooks: () => Promise<OwnHooks | undefined>
  /** The directory for scratch folders. */
  scratch: string
  /** Undefined where there are no webhooks. */
  webhook: WebhookOptions | undefined
}

/** `lost` resolves with the reason when the worker had no database for a minute and should be restarted. */
export type WorkerProcess = Worker & { lost: Promise<Error> }

/** Opens everything that a worker needs and starts it. `close` closes all of it. */
export async function runWorker(options: WorkerProcessOptions): Promise<WorkerProcess> {
  const { connectionString, log } = options
  const onError = (error: unknown) => log.error({ err: error }, 'background work failed')
  const db = openDatabase({
    connectionString,
    maxConnections: options.databasePool,
    applicationName: 'landfall-worker',
    onPoolError: onError,
  })
  const undo: (() => unknown)[] = [() => db.destroy()]
  const close = async () => {
    for (const release of undo.reverse()) await release()
  }
  const { ffmpegPath, ffprobePath, toolSandbox } = options
  // It takes half a second: the rest is opened in parallel.
  const opening = openSandbox({ ...toolSandbox, tools: [ffmpegPath, ffprobePath] })
  opening.catch(() => {
    // The error is thrown below, unless something else fails before.
  })
  const watch = watchDatabase({ connectionString })
  undo.push(() => watch.close())
  try {
    await requireSchema(db, log)
    const storage = await openStorage(options.storage, db, { onError })
    undo.push(() => storage.close())
    const bus = await Bus.open({ connectionString, onError })
    undo.push(() => bus.close())
    undo.push(startScratchCleaner(options.scratch, onError))
    const sandbox = await opening
    if (sandbox.kind === 'none' && toolSandbox.wish !== 'off')
      log.warn({}, 'ffmpeg runs without a sandbox: neither bwrap nor unshare works on this system')
    options.onSandbox?.(sandbox.kind)
    const ffmpeg = new Ffmpeg({ ...options, sandbox })
    // The first file need not wait for it; where ffmpeg is missing, the step that needs it says so.
    ffmpeg.abilities().catch(() => {})
    const boss = await openQueues({ db, supervise: true, onError })
    const worker = await startWorker({
      boss,
      bus,
      concurrency: options.concurrency,
      retentionMs: options.retentionMs,
      retention: options.retention,
      log,
      tools: {
        db,
        storage,
        ffmpeg,
        converters: new Converters(sandbox),
        scanner: options.clamd === undefined ? undefined : new Scanner(options.clamd),
        ...options.steps,
        hooks: await options.hooks(),
        analysis: options.analysis && { ...options.analysis, linkKey: await linkKey(db) },
        scratch: openScratch(db, storage, options.scratch, onError),
      },
    })
    undo.push(() => worker.close())
    undo.push(watchStarvation(log))
    const dispatcher = await startDispatcher({ db, bus, webhook: options.webhook, log })
    undo.push(() => dispatcher.close())
  } catch (error) {
    await close()
    throw error
  }
  return { close, lost: watch.lost }
}

/** The folder may not exist yet; its disk is that of the nearest folder that does. */
function openScratch(
  db: Ledger,
  { disk: { objects } }: Storage,
  root: string,
  onError: (error: unknown) => void,
): Scratch {
  const fileSystem = new FileSystem(dirname(root))
  return { root, space: new DiskSpace({ db, fileSystem, objects, scratch: root, onError }) }
}
