import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { runWorker, type WorkerProcessOptions } from '../processing/process.ts'
import { type Config, ConfigError, type Environment, parseConfig } from '../server/config.ts'
import { findServersClamd } from '../server/embedded/clamd-records.ts'
import { refuseRestoring } from '../server/embedded/restoring.ts'
import type { WorkerMessage } from '../server/embedded/worker-process.ts'
import { mediaLimitsOf } from '../server/media-limits.ts'
import { openHooks } from '../server/own-hooks.ts'
import { closeDataDirectory } from '../server/process/data-directory.ts'
import { createLog, type Log } from '../server/process/log.ts'
import { listenForStop } from '../server/process/signals.ts'
import { storageOptionsOf } from '../server/storage-options.ts'
import { lowerPriority } from '../system/low-priority.ts'
import { SYSTEM_PATH } from '../system/system-path.ts'
import { SANDBOX_KINDS, type SandboxKind } from '../system/tool-sandbox.ts'
import { type Command, textOption, UsageError } from './command.ts'

/** Resources that do not close, such as those of an unavailable database, must not keep the process. */
const CLOSE_MS = 20_000

export const command: Command = {
  usage: '',
  details: ['Runs until it is stopped.'],
  // Internal: by it `serve` spares later workers the trial of sandboxes.
  options: { sandbox: { type: 'string' } },
  isLongRunning: true,
  async run(call) {
    const given = textOption(call, 'sandbox')
    const found = SANDBOX_KINDS.find((kind) => kind === given)
    if (found !== given) throw new UsageError(`--sandbox takes ${SANDBOX_KINDS.join(', ')}`)
    return await work(call.env, found)
  },
}

/**
 * Processes received files until it is stopped. Fails when the database was unavailable for a minute. `found`: the
 * sandbox that an earlier worker of this server has chosen; the server is told which it is.
 */
async function work(env: Environment, found?: SandboxKind): Promise<undefined> {
  const config = parseConfig(env, { auth: false })
  if (config.DATABASE_URL === undefined) {
    throw new ConfigError([
      'DATABASE_URL: "" is not accepted; a worker takes the database of the server it works for',
    ])
  }
  await refuseRestoring(config.DATA_DIR)
  await refuseWithoutClamd(config)
  const log = createLog({ level: config.LOG_LEVEL, name: 'landfall-worker' })
  const stop = listenForStop(log)
  for (const warning of await closeDataDirectory(config.DATA_DIR)) log.warn(warning)
  // Its server may have ended while it was loading.
  stop.check()
  lowerPriority(process.pid, config.WORKER_NICE)
  const options = workerOptions(config, config.DATABASE_URL, log, env.PATH)
  const worker = await runWorker({
    ...options,
    toolSandbox: { ...options.toolSandbox, found },
    onSandbox: (sandbox) =>
      process.send?.({ sandbox } satisfies WorkerMessage, () => {
        // The server has ended; this process is stopped elsewhere.
      }),
  })
  log.info('worker started')
  const lost = await Promise.race([stop.asked, worker.lost])
  await Promise.race([worker.close(), sleep(CLOSE_MS, undefined, { ref: false })])
  if (lost) throw lost
}

/** Without `CLAMD_URL` a worker uses the clamd of the server beside it; files wait where that becomes unavailable. */
async function refuseWithoutClamd({ SCAN, CLAMD_URL, DATA_DIR }: Config): Promise<void> {
  if (SCAN === 'off' || CLAMD_URL !== undefined || (await findServersClamd(DATA_DIR))) return
  throw new ConfigError([
    `CLAMD_URL: "" is not accepted; a worker takes tcp://HOST:PORT or unix:/PATH, or SCAN=off, where no server on ${DATA_DIR} runs a clamd`,
  ])
}

/** The options of a worker on this database. Its tools are searched in the directories of `path`. */
export function workerOptions(
  config: Config,
  connectionString: string,
  log: Log,
  path: string = SYSTEM_PATH,
): WorkerProcessOptions {
  return {
    connectionString,
    storage: storageOptionsOf(config),
    concurrency: concurrencyOf(config),
    retentionMs: config.MEDIA_RETENTION,
    retention: { historyMs: config.HISTORY_RETENTION, recordMs: config.RECORD_RETENTION },
    databasePool: config.DATABASE_POOL,
    clamd:
      config.SCAN === 'required'
        ? (config.CLAMD_URL ?? (() => findServersClamd(config.DATA_DIR)))
        : undefined,
    ffmpegPath: config.FFMPEG_PATH,
    ffprobePath: config.FFPROBE_PATH,
    toolSandbox: { wish: config.TOOL_SANDBOX, path, dataDirectory: config.DATA_DIR },
    steps: {
      accepted: config.accepted,
      limits: mediaLimitsOf(config),
      deepCheck: config.DEEP_CHECK,
      scanOversize: config.SCAN_OVERSIZE,
      dedup: config.DEDUP,
      publicPrefix: config.PUBLISH === 'copy' ? config.PUBLIC_PREFIX : undefined,
      thumbnails: { atSeconds: config.THUMBNAIL_AT, widths: config.THUMBNAIL_WIDTHS },
      hls: config.HLS === 'on' ? { heights: config.HLS_HEIGHTS } : undefined,
    },
    analysis: analysisOf(config),
    hooks: () => openHooks(config, (about, message) => log.error(about, message)),
    scratch: resolve(config.DATA_DIR, 'scratch'),
    webhook: webhookOf(config),
    log,
  }
}

function concurrencyOf({ WORKER_CONCURRENCY: files, WORKER_LIMITS: limits }: Config) {
  return { processing: files, scan: files, decode: files, analysis: 4, transcoding: 1, ...limits }
}

function analysisOf(config: Config): WorkerProcessOptions['analysis'] {
  const { ANALYSIS: mode, ANALYSIS_URL: url, ANALYSIS_SECRET: secrets = [], PUBLIC_URL: publicUrl } = config
  if (mode === 'off' || url === undefined || publicUrl === undefined) return undefined
  return { mode, url, secrets, publicUrl, timeoutMs: config.ANALYSIS_TIMEOUT }
}

function webhookOf({ WEBHOOK_URL: url, WEBHOOK_SECRET: secrets = [], ...config }: Config) {
  return url === undefined ? undefined : { url, secrets, allowPrivate: config.WEBHOOK_ALLOW_PRIVATE }
}
