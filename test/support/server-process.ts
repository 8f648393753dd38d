import { type ChildProcess, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import jwt from 'jsonwebtoken'
import { inject } from 'vitest'
import { type Ledger, openDatabase } from '../../ledger/database.ts'
import { NODE_FLAGS } from '../../server/process/node-flags.ts'
import { SECRET } from './landfall.ts'
import { betweenLooks, nothingFor } from './pauses.ts'
import { isRunning, listProcesses, untilGone } from './processes.ts'
import { programOf } from './program.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const START_MS = 30_000
const STOP_MS = 20_000

export type Exit = { code: number | null; signal: NodeJS.Signals | null }

/** A run of `node landfall.ts serve`, whatever becomes of it. */
export type Run = {
  pid: number
  /** The address it greets with; fails, with all it printed, when it ends without. */
  address: Promise<string>
  exited: Promise<Exit>
  /** Resolves when nobody holds its output any more: the worker child shares it. */
  closed: Promise<void>
  stdout(): string
  stderr(): string
}

/** A directory that the user postgres can enter. */
export async function enterableDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'landfall-server-'))
  await chmod(directory, 0o755)
  return directory
}

/**
 * Starts a server, in a process group of its own, on `dataDirectory`, a free port and the run's
 * clamd, unless `env` says otherwise. It must be stopped with `stopRun`.
 */
export function runServer(
  dataDirectory: string,
  options: {
    env?: Record<string, string>
    args?: readonly string[]
    /** Of another release, with its packages, instead of this one. */
    checkout?: string
  } = {},
): Run {
  const env = {
    PATH: process.env.PATH,
    NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE,
    DATA_DIR: dataDirectory,
    PORT: '0',
    CLAMD_URL: inject('clamdUrl'),
    AUTH_JWT_SECRET: SECRET,
    LOG_LEVEL: 'info',
    ...options.env,
  }
  const program = [...NODE_FLAGS, programOf(options.checkout ?? ROOT)]
  const child = spawn(process.execPath, [...program, 'serve', ...(options.args ?? [])], {
    env,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  if (child.pid === undefined) throw new Error('the server could not be started')
  const exited = once(child, 'exit').then(([code, signal]): Exit => ({ code, signal }))
  const closed = once(child, 'close').then(() => {})
  const stdout = gather(child.stdout)
  const stderr = gather(child.stderr)
  const address = greeting(child, stdout, stderr)
  // A test that starts a server that must not start does not wait for it.
  address.catch(() => {})
  return { pid: child.pid, address, exited, closed, stdout, stderr }
}

/**
 * Ends a run and everything it left: the server, and a PostgreSQL that a killed one abandoned. The
 * worker has to end by itself; it is an error when it does not.
 */
export async function stopRun(run: Run, dataDirectory: string): Promise<void> {
  if (await isRunning(run.pid)) {
    process.kill(run.pid, 'SIGTERM')
    await untilGone([run.pid], STOP_MS).catch(() => process.kill(run.pid, 'SIGKILL'))
  }
  const isClosed = await Promise.race([run.closed.then(() => true), nothingFor(STOP_MS, false)])
  const postgres = await findPostgres(dataDirectory)
  if (postgres !== undefined && (await isRunning(postgres))) {
    process.kill(postgres, 'SIGINT')
    await untilGone([postgres], STOP_MS)
  }
  if (!isClosed) throw new Error(`the worker of server ${run.pid} is still running`)
}

/** The pid of the embedded PostgreSQL, as it wrote it down; undefined when it has ended properly. */
export async function findPostgres(dataDirectory: string): Promise<number | undefined> {
  return (await readPidFile(dataDirectory)).pid
}

/** The pid of the embedded PostgreSQL of a server that is up. */
export async function postgresPid(dataDirectory: string): Promise<number> {
  return (await findPostgres(dataDirectory)) ?? raise('there is no PostgreSQL')
}

export type ServerProcess = {
  /** The same after every restart. */
  url: string
  dataDirectory: string
  /** The present run, or the last. */
  run(): Run
  /** A bearer token of this user. */
  token(sub: string): string
  /** `fetch` with the token of this user. */
  as(sub: string): (path: string, init?: RequestInit) => Promise<Response>
  /** Sends the signal to the server alone and waits until it is gone. */
  kill(signal: NodeJS.Signals): Promise<Exit>
  /** Starts it again on the same directory and port; resolves when it listens. */
  restart(): Promise<void>
  /** The pid of the worker that the server keeps as its child, once there is one. */
  untilWorker(): Promise<number>
  /** A connection to its ledger, good while its PostgreSQL runs. The caller destroys it. */
  openLedger(): Promise<Ledger>
  /** Stops everything and removes the directory. */
  stop(): Promise<void>
}

/**
 * A free port that a server finds free again after its restart. Those that the system gives are also given to connections,
 * while the server is down.
 */
async function portToKeep(): Promise<number> {
  for (;;) {
    const port = randomInt(16_000, 32_000)
    const taken = createServer().listen(port, '127.0.0.1')
    const isFree = await once(taken, 'listening').then(
      () => true,
      () => false,
    )
    taken.close()
    if (isFree) return port
  }
}

/** A real server process with everything embedded, to be signalled, killed and started again. */
export async function startServerProcess(env: Record<string, string> = {}): Promise<ServerProcess> {
  const parent = await enterableDirectory()
  const dataDirectory = join(parent, 'data')
  const runs = [runServer(dataDirectory, { env: { PORT: String(await portToKeep()), ...env } })]
  const current = (): Run => runs.at(-1) ?? raise('no run')
  const stop = async () => {
    const stopped = await Promise.allSettled(runs.map((run) => stopRun(run, dataDirectory)))
    await rm(parent, { recursive: true, force: true })
    for (const result of stopped) if (result.status === 'rejected') throw result.reason
  }
  const url = await current().address.catch(async (error: unknown) => {
    await stop()
    throw error
  })
  const token = (sub: string) => jwt.sign({}, SECRET, { subject: sub, expiresIn: '1h' })
  return {
    url,
    dataDirectory,
    run: current,
    token,
    as:
      (sub) =>
      async (path, init = {}) => {
        const headers = new Headers(init.headers)
        headers.set('Authorization', `Bearer ${token(sub)}`)
        return await fetch(new URL(path, url), { ...init, headers })
      },
    async kill(signal) {
      process.kill(current().pid, signal)
      return await current().exited
    },
    async restart() {
      runs.push(runServer(dataDirectory, { env: { ...env, PORT: new URL(url).port } }))
      await current().address
    },
    untilWorker: () => untilWorkerOf(current().pid),
    async openLedger() {
      const { port } = await readPidFile(dataDirectory)
      const password = await readFile(join(dataDirectory, 'postgres', 'password'), 'utf8')
      return openDatabase({
        connectionString: `postgres://landfall:${password}@127.0.0.1:${port}/landfall`,
        maxConnections: 2,
        applicationName: 'test',
        onPoolError: () => {},
      })
    },
    stop,
  }
}

/** The worker among the children of a server; other than `formerPid`, where that is given. */
export async function untilWorkerOf(serverPid: number, formerPid?: number): Promise<number> {
  const deadline = performance.now() + START_MS
  for (;;) {
    const worker = (await listProcesses()).find(
      ({ pid, parent, command }) =>
        parent === serverPid &&
        pid !== formerPid &&
        /(landfall|main)\.ts worker( --sandbox=\w+)?$/.test(command),
    )
    if (worker) return worker.pid
    if (performance.now() > deadline) throw new Error('the server has no worker')
    await betweenLooks()
  }
}

async function readPidFile(dataDirectory: string): Promise<{ pid?: number; port?: number }> {
  const path = join(dataDirectory, 'postgres', 'cluster', 'postmaster.pid')
  const lines = (await readFile(path, 'utf8').catch(() => '')).split('\n')
  return lines[3] ? { pid: Number(lines[0]), port: Number(lines[3]) } : {}
}

function gather(stream: NodeJS.ReadableStream): () => string {
  let text = ''
  stream.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
  })
  return () => text
}

async function greeting(child: ChildProcess, stdout: () => string, stderr: () => string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const fail = (why: string) => reject(new Error(`the server ${why}:\n${stdout()}${stderr()}`))
  const timer = setTimeout(() => fail('does not greet'), START_MS)
  child.once('close', () => fail('ended'))
  child.stdout?.on('data', () => {
    const address = /^Landfall is at (\S+)\n/.exec(stdout())?.[1]
    if (address) resolve(address)
  })
  return await promise.finally(() => clearTimeout(timer))
}

function raise(message: string): never {
  throw new Error(message)
}
