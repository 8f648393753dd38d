import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inject } from 'vitest'
import { configureEndpoint } from '../../ledger/webhook-endpoints.ts'
import { createLog } from '../../server/process/log.ts'
import { Releasers } from '../../server/process/releasers.ts'
import type { Fixture } from '../fixtures/media.ts'
import { type AnalysisEngine, ENGINE_SECRET, says, startAnalysisEngine } from '../support/analysis-engine.ts'
import { type Landfall, type StorageKind, startLandfall } from '../support/landfall.ts'
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts'
import { sendFile } from '../support/uploads.ts'
import { type Receiver, SECRETS, startReceiver } from '../support/webhook-receiver.ts'
import { Crew } from './crew.ts'
import { type FileKind, loadFiles } from './files.ts'
import { Gate } from './gate.ts'

/** What a worker reaches over a network that the test has in its hands. */
export type Service = 'clamd' | 'postgres' | 's3'

/** A file on its way. Its name tells it from all others. */
export type Sent = { uploadId: string; filename: string; kind: FileKind }

/** A server, workers that are processes of their own, somebody who is told, and hands on all of it. */
export type Stage = {
  landfall: Landfall
  gate: Gate
  crew: Crew
  receiver: Receiver
  engine: AnalysisEngine
  /** From the workers to each service; without S3 where files are on a disk. */
  lines: ReadonlyMap<Service, TcpProxy>
  files: Record<FileKind, Fixture>
  /** Everything that was sent so far. */
  sent: Sent[]
  send(kind: FileKind, filename: string): Promise<Sent>
  /** Stops the workers, and fails when they do not; removes everything. */
  close(): Promise<void>
}

export const OWNER = 'alice'

/** Of every file, at once. */
const ANALYSIS = {
  analysisId: 'one',
  status: 'finished',
  result: { labels: ['test card'] },
  confidence: 0.9,
  verdict: 'accept',
}

export async function startStage(storage: StorageKind, workers: number): Promise<Stage> {
  const releasers = new Releasers()
  const log = createLog({ level: 'warn', name: 'steps' })
  try {
    const directory = await mkdtemp(join(tmpdir(), 'landfall-steps-'))
    releasers.add('files', () => rm(directory, { recursive: true, force: true }))
    const files = await loadFiles(directory)
    const landfall = await startLandfall({
      storage,
      withoutWorker: true,
      env: { UPLOAD_MAX_OPEN: '1000', PUBLISH: 'copy' },
    })
    releasers.add('landfall', () => landfall.close())
    const receiver = await startReceiver()
    releasers.add('receiver', () => receiver.close())

    const engine = await startAnalysisEngine(says(ANALYSIS))
    releasers.add('engine', () => engine.close())

    const targets: [Service, string | undefined][] = [
      ['clamd', inject('clamdUrl')],
      ['postgres', landfall.connectionString],
      ['s3', landfall.storageEnv.S3_ENDPOINT],
    ]
    const lines = new Map<Service, TcpProxy>()
    for (const [service, target] of targets) {
      if (target === undefined) continue
      const line = await startTcpProxy(target)
      releasers.add(`line to ${service}`, () => line.close())
      lines.set(service, line)
    }

    // As the first worker of all does when it starts: what happens before that is told to nobody.
    await configureEndpoint(landfall.db, receiver.url)
    const gate = await Gate.open(landfall.db)
    const hooks = join(directory, 'hooks.mjs')
    await writeFile(hooks, HOOKS)
    const variables = { ...environment(landfall, receiver, engine), HOOKS: hooks }
    const crew = new Crew({
      size: workers,
      env: (name) => ({ ...variables, ...connections(name, landfall, lines) }),
    })
    releasers.add('crew', () => crew.stop())
    const sent: Sent[] = []
    return {
      landfall,
      gate,
      crew,
      receiver,
      engine,
      lines,
      files,
      sent,
      async send(kind, filename) {
        const { uploadId } = await sendFile(landfall, OWNER, { ...files[kind], name: filename })
        const one = { uploadId, filename, kind }
        sent.push(one)
        return one
      },
      async close() {
        // First, and not only logged: one that does not stop is a failure.
        const stopped = await Promise.allSettled([crew.stop()])
        await releasers.releaseAll(log)
        for (const result of stopped) if (result.status === 'rejected') throw result.reason
      },
    }
  } catch (error) {
    await releasers.releaseAll(log)
    throw error
  }
}

/** Takes long enough to be killed in. */
const HOOKS = `
  import { once } from 'node:events'
  export default { async prePublish() { await once(AbortSignal.timeout(100), 'abort') } }
`

/** With everything switched on that is a step. */
function environment(landfall: Landfall, receiver: Receiver, engine: AnalysisEngine): Record<string, string> {
  return {
    DATA_DIR: landfall.dataDirectory,
    ...landfall.storageEnv,
    PUBLISH: 'copy',
    HLS: 'on',
    // A file is ready when the engine says so, which makes an order of what is told of it.
    ANALYSIS: 'gate',
    ANALYSIS_URL: engine.url,
    ANALYSIS_SECRET: ENGINE_SECRET,
    PUBLIC_URL: landfall.url,
    // One file each, so that what is done to a worker is done to the file that it is aimed at.
    WORKER_CONCURRENCY: '1',
    WEBHOOK_URL: receiver.url,
    WEBHOOK_SECRET: SECRETS.join(','),
    WEBHOOK_ALLOW_PRIVATE: 'true',
    LOG_LEVEL: 'info',
  }
}

/** The ways of one worker to what it needs. The database tells the workers apart by the names of their connections. */
function connections(
  name: string,
  { connectionString }: Landfall,
  lines: ReadonlyMap<Service, TcpProxy>,
): Record<string, string> {
  const portOf = (service: Service) => new URL(lines.get(service)?.url ?? 'http://none').port
  const database = Object.assign(new URL(connectionString), { port: portOf('postgres') })
  database.searchParams.set('application_name', name)
  const s3 = lines.get('s3')
  return {
    ...(s3 ? { S3_ENDPOINT: s3.url } : {}),
    DATABASE_URL: database.href,
    CLAMD_URL: `tcp://127.0.0.1:${portOf('clamd')}`,
  }
}
