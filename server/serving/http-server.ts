import { randomBytes, randomUUID } from 'node:crypto'
import type { RequestListener } from 'node:http'
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { servedAs } from '../../content/served-as.ts'
import type { UploadPolicy } from '../../hooks/pre-create.ts'
import {
  createQueues,
  erasureEnqueuer,
  openQueues,
  processingEnqueuer,
  removalEnqueuer,
  requireQueues,
} from '../../jobs/queues.ts'
import { Bus } from '../../ledger/bus.ts'
import { type Ledger, openDatabase } from '../../ledger/database.ts'
import { MAINTENANCE_DEADLINES, PROMPT_DEADLINES } from '../../ledger/deadlines.ts'
import { EndLog } from '../../ledger/end-log.ts'
import { LeaseKeeper } from '../../ledger/lease-keeper.ts'
import { clearLeases } from '../../ledger/leases.ts'
import { findMedia } from '../../ledger/media.ts'
import { migrateToLatest, requireSchema } from '../../ledger/migrate.ts'
import { sharedSecret } from '../../ledger/secrets.ts'
import { DiskSpace } from '../../storage/disk/disk-space.ts'
import { FileSystem } from '../../storage/disk/file-system.ts'
import { linkKey } from '../../storage/signed-path.ts'
import { openStorage } from '../../storage/storage.ts'
import type { Objects } from '../../storage/store/objects.ts'
import { UploadStores } from '../../storage/upload-stores.ts'
import { Appends, maxAppends } from '../admission/appends.ts'
import { ROUTES } from '../api/table.ts'
import { uploadRequests } from '../api/upload-requests.ts'
import { principalOf } from '../auth/authenticate.ts'
import { ContentLinks } from '../auth/content-links.ts'
import { createVerifier } from '../auth/verifier.ts'
import type { Config } from '../config.ts'
import { EventStreams } from '../events/event-streams.ts'
import { ProgressBoard } from '../events/progress-board.ts'
import { ProgressReporter } from '../events/progress-reporter.ts'
import { createReadiness, type Readiness } from '../health/readiness.ts'
import { addressesOf } from '../http/addresses.ts'
import { DEADLINES, type Deadlines } from '../http/deadlines.ts'
import { notFound } from '../http/errors.ts'
import { answerExpectations } from '../http/expect-continue.ts'
import { MAX_HEADER_BYTES } from '../http/header-limit.ts'
import { createListener, listen } from '../http/listener.ts'
import { prefixRemover } from '../http/prefix.ts'
import { withoutTicket } from '../http/ticket-path.ts'
import { answerUpgrades } from '../http/upgrades.ts'
import { mediaLimitsOf } from '../media-limits.ts'
import { watchAppends } from '../metrics/append-figures.ts'
import { connectionFigures } from '../metrics/connections.ts'
import { dependencyCollector } from '../metrics/dependency-figures.ts'
import { diskCollector, storedCollector } from '../metrics/disk-figures.ts'
import { ledgerCollectors } from '../metrics/ledger-figures.ts'
import { openMetrics } from '../metrics/metrics.ts'
import { queueCollector } from '../metrics/queue-figures.ts'
import { scannerCollector } from '../metrics/scanner-figures.ts'
import { openHooks } from '../own-hooks.ts'
import { EventLoopWatch } from '../process/event-loop.ts'
import type { Log } from '../process/log.ts'
import { Releasers } from '../process/releasers.ts'
import { keyPrefixesOf, storageOptionsOf } from '../storage-options.ts'
import { Commits } from '../uploads/commits.ts'
import { BucketWatch } from '../uploads/direct/bucket-watch.ts'
import { DirectUploads } from '../uploads/direct/direct-uploads.ts'
import { linkCheck } from '../uploads/direct/link-check.ts'
import { UploadEngine } from '../uploads/engine.ts'
import { interimRule } from '../uploads/ietf/interim.ts'
import { receiveSimply } from '../uploads/simple/simple-upload.ts'
import { createApp } from './app.ts'
import { startMetricsServer } from './metrics-server.ts'
import { PAGE_PATHS } from './page.ts'

export type HttpServerOptions = {
  config: Config
  log: Log
  connectionString: string
  /** No other server uses this database: existing leases are of no use. */
  isOnlyServer: boolean
  /** Other deadlines, for tests. */
  deadlines?: Partial<Deadlines>
  /** The code for development tokens, as printed by this start; undefined without them. */
  devCode: string | undefined
  /** The built web page; undefined where there is none. */
  pageDirectory: string | undefined
}

export type HttpServer = {
  port: number
  /** Where it has a port of its own. */
  metricsPort: number | undefined
  readiness: Readiness
  /** Lets requests finish, then closes everything. */
  close(): Promise<void>
}

/** Where uploads are sent. */
const FILES = '/files'
/** For those inside only. */
const INNER_PATHS = ['/metrics']
const LEASE_TTL_MS = 10_000
const MAX_HEARTBEAT_MS = 15_000
/** How long running requests may take to finish when the server stops. */
const DRAIN_MS = 10_000

/** Opens everything that a serving process needs and listens. After a failure it closes what was opened. */
export async function startHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const releasers = new Releasers()
  try {
    return await open(options, releasers)
  } catch (error) {
    await releasers.releaseAll(options.log)
    throw error
  }
}

async function open(options: HttpServerOptions, releasers: Releasers): Promise<HttpServer> {
  const { config, log, connectionString } = options
  const onError = (error: unknown) => log.error({ err: error }, 'background work failed')

  const db = openDatabase({
    connectionString,
    maxConnections: config.DATABASE_POOL,
    applicationName: 'landfall-server',
    onPoolError: onError,
  })
  releasers.add('database', () => db.destroy())
  if (config.MIGRATE === 'on') await migrate(options, onError)
  await requireSchema(db, log)
  if (options.isOnlyServer) await clearLeases(db)

  const boss = await openQueues({ db, supervise: false, migrate: config.MIGRATE === 'on', onError })
  releasers.add('queues', () => boss.stop({ close: false, graceful: false }))
  if (config.MIGRATE === 'on') await createQueues(boss)
  else await requireQueues(boss)
  const bus = await Bus.open({ connectionString, onError })
  releasers.add('bus', () => bus.close())

  /** A connection that a busy pool does not delay. */
  const connectionFor = (name: string, applicationName: string): Ledger => {
    const pool = { connectionString, maxConnections: 1, applicationName, onPoolError: onError }
    const own = openDatabase({ ...pool, deadlines: PROMPT_DEADLINES })
    releasers.add(name, () => own.destroy())
    return own
  }
  const renewals = connectionFor('lease renewal', 'landfall-leases')
  const leases = new LeaseKeeper({ db, renewals, bus, holder: randomUUID(), ttlMs: LEASE_TTL_MS, onError })
  releasers.add('leases', () => leases.close())
  const storage = await openStorage(storageOptionsOf(config), db, { onError })
  releasers.add('storage', () => storage.close())
  const policy = policyOf(config)
  const ends = new EndLog(log)
  const stores = new UploadStores(storage, { db, maxSize: policy.maxSize, onError })
  releasers.add('upload stores', () => stores.close())

  const progress = new ProgressReporter(bus)
  releasers.add('progress', () => progress.close())
  const board = new ProgressBoard(bus)
  releasers.add('progress board', () => board.close())
  // Well before silent connections are closed.
  const heartbeatMs = Math.min(MAX_HEARTBEAT_MS, config.UPLOAD_IDLE_TIMEOUT / 3)
  const { STREAMS_PER_OWNER: streamsPerOwner } = config
  const streams = new EventStreams({ db, bus, board, heartbeatMs, streamsPerOwner, onError })
  const clamd = config.SCAN === 'required' ? config.CLAMD_URL : undefined
  const probe = connectionFor('readiness probe', 'landfall-readiness')
  const eventLoop = new EventLoopWatch()
  releasers.add('event loop watch', () => eventLoop.close())
  const disks = {
    // On the connection of the probe, so that a busy pool does not delay it.
    space:
      storage.primary === 'disk'
        ? new DiskSpace({
            db: probe,
            objects: storage.disk.objects,
            fileSystem: new FileSystem(storage.disk.objects.directory),
            scratch: resolve(config.DATA_DIR, 'scratch'),
            onError,
          })
        : undefined,
    scratch: new FileSystem(config.DATA_DIR),
  }
  const readiness = createReadiness({ probe, db, bus, eventLoop, storage, disks, clamd, log })
  const collectors = [
    ...ledgerCollectors(db),
    queueCollector(boss),
    dependencyCollector(readiness),
    diskCollector(disks),
    storedCollector(db),
    ...(clamd ? [scannerCollector(clamd)] : []),
  ]
  const metrics = config.METRICS === 'on' ? openMetrics({ collectors, log }) : undefined
  releasers.add('metrics', () => metrics?.close())
  const creation = {
    db,
    policy,
    storageBackend: storage.primary,
    keyPrefixes: keyPrefixesOf(config),
    space: storage.disk.space,
    enqueueRemoval: removalEnqueuer(boss),
    notifyListeners: (id: string) => void bus.publish({ t: 'event', id }),
    ends,
    hooks: await openHooks(config, (about, message) => log.error(about, message)),
  }
  const links = new ContentLinks(await linkKey(db), config.LINK_SIGNING_KEYS)
  const appends = new Appends(maxAppends(config))
  if (metrics) watchAppends(metrics.register, appends)
  const engine = new UploadEngine({
    storage,
    stores,
    leases,
    appends,
    bus,
    creation,
    progress,
    content: { accepted: config.accepted, limits: mediaLimitsOf(config) },
    enqueueProcessing: processingEnqueuer(boss),
    commits: new Commits({
      db,
      leases,
      expiry: policy.expiry,
      enqueueProcessing: processingEnqueuer(boss),
      enqueueRemoval: removalEnqueuer(boss),
      ends,
      notifyListeners: (id, job) => void bus.publish({ t: 'event', id, queue: job }),
    }),
  })
  const direct = new DirectUploads({
    engine,
    db,
    bytes: storage.s3?.direct,
    isOffered: storage.primary === 's3',
    checkUsable: () => storage.checkUsable({ storage_backend: 's3' }),
    checkLinks: linkCheck(storage.s3?.linkProbe, log),
    onBegun: () => bucketWatch?.wake(),
  })
  const sweepProbes = async () => await storage.s3?.linkProbe.sweep()
  const bucketWatch = storage.s3 && new BucketWatch({ db, uploads: direct, sweepProbes, onError })
  releasers.add('bucket watch', () => bucketWatch?.close())
  const addresses = addressesOf(config)
  const bodyOptions = {
    countBytes: (bytes: number) => metrics?.countBytes(bytes),
    idleMs: config.UPLOAD_IDLE_TIMEOUT,
  }
  const uploads = uploadRequests({
    engine,
    path: FILES,
    addressesOf: addresses,
    passesInterim: interimRule(config.INTERIM_RESPONSES),
    ...bodyOptions,
    contentPath: async (mediaId, response) => {
      const media = await findMedia(db, principalOf(response).ownerId, mediaId)
      if (!media) throw notFound()
      return media.status === 'ready' ? links.sign(media.id, 'content') : undefined
    },
  })
  const verify = createVerifier(config, (about, message) => log.warn(about, message))
  const deadlines = { ...DEADLINES, ...options.deadlines }
  const app = createApp({
    ...options,
    deadlines,
    db,
    bus,
    storage,
    verify,
    links,
    board,
    streams,
    readiness,
    metrics,
    policy,
    ends,
    enqueueRemoval: removalEnqueuer(boss),
    enqueueProcessing: processingEnqueuer(boss),
    enqueueErasure: erasureEnqueuer(boss),
    announceErasure: (id) => void bus.publish({ t: 'event', id, queue: 'erasure' }),
    erasureKey: await sharedSecret(db, 'owner-erasures', () => randomBytes(32)),
    uploads,
    receiveSimply: (request, response) =>
      receiveSimply(engine, { ...bodyOptions, maxSize: config.SIMPLE_MAX_SIZE }, request, response),
    direct,
    addressesOf: addresses,
    contentOrigin: config.DOWNLOADS === 'redirect' ? await originOf(storage.s3?.objects) : undefined,
  })

  const pathOf = prefixRemover({
    publicUrl: config.PUBLIC_URL,
    ownPaths: [...ROUTES.map(({ path }) => path), ...PAGE_PATHS],
    innerPaths: INNER_PATHS,
  })
  // Before anything reads it.
  const handle: RequestListener = (request, response) => {
    request.url = withoutTicket(pathOf(request.url ?? ''))
    app(request, response)
  }
  const connections = metrics && connectionFigures(metrics.register)
  const server = createListener(handle, {
    deadlines,
    maxHeaderBytes: MAX_HEADER_BYTES,
    maxConnections: config.MAX_CONNECTIONS,
    silenceMs: config.UPLOAD_IDLE_TIMEOUT,
    log,
    onRefused: () => connections?.countRefused(),
  })
  connections?.watch(promisify(server.getConnections.bind(server)))
  answerExpectations(server, (target) => pathOf(target).startsWith(FILES))
  answerUpgrades(server, handle)
  const metricsServer =
    metrics && config.METRICS_PORT !== undefined
      ? await startMetricsServer({ metrics, host: config.HOST, port: config.METRICS_PORT, log })
      : undefined
  if (metricsServer) releasers.add('metrics server', () => metricsServer.close())
  const port = await listen(server, config.PORT, config.HOST)
  return {
    port,
    metricsPort: metricsServer?.port,
    readiness,
    async close() {
      readiness.drain()
      // The balancer has to notice before the listener is closed.
      if (config.DRAIN_DELAY > 0) await sleep(config.DRAIN_DELAY)
      const closed = new Promise((resolve) => server.close(resolve))
      leases.askAllToRelease()
      streams.close()
      // Closing waits for idle kept-alive connections otherwise.
      const idle = setInterval(() => server.closeIdleConnections(), 100)
      const deadline = setTimeout(() => server.closeAllConnections(), DRAIN_MS)
      await closed
      clearInterval(idle)
      clearTimeout(deadline)
      await releasers.releaseAll(log)
    },
  }
}

async function migrate(
  { log, connectionString }: HttpServerOptions,
  onPoolError: (error: Error) => void,
): Promise<void> {
  const migrator = openDatabase({
    connectionString,
    maxConnections: 1,
    applicationName: 'landfall-migrate',
    onPoolError,
    deadlines: MAINTENANCE_DEADLINES,
  })
  try {
    const applied = await migrateToLatest(migrator, { onProgress: (message) => log.info(message) })
    if (applied.length > 0) log.info(`migrated the database: ${applied.join(', ')}`)
  } finally {
    await migrator.destroy()
  }
}

/** The origin of the storage's signed links. */
async function originOf(objects: Objects | undefined): Promise<string | undefined> {
  const link = await objects?.link('any', servedAs(null))
  return link === undefined ? undefined : new URL(link).origin
}

function policyOf(config: Config): UploadPolicy {
  return {
    minSize: config.UPLOAD_MIN_SIZE,
    maxSize: config.UPLOAD_MAX_SIZE,
    accepted: config.accepted,
    expiry: { afterMs: config.UPLOAD_EXPIRES_AFTER, maxAgeMs: config.UPLOAD_MAX_AGE },
    quota: {
      bytes: config.QUOTA_BYTES ?? null,
      uploads: config.QUOTA_UPLOADS ?? null,
      openUploads: config.UPLOAD_MAX_OPEN,
    },
  }
}
