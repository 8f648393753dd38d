import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes, randomUUID } from 'node:crypto'
import { mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import { freePort } from '../../server/embedded/free-port.ts'
import { betweenLooks } from '../support/pauses.ts'
import { configuration, keyring } from './ceph-configuration.ts'
import { type ProgramName, programPath } from './requirements.ts'

const START_MS = 60_000
/** How often a running gateway is looked at, and how long it may take to answer: a busy one takes some seconds. */
const LOOK_MS = 5_000
const SILENCE_MS = 60_000
const POLL_MS = 25
const USER = 'landfall-tests'
const LINK_USER = 'landfall-links'

type S3Keys = { accessKeyId: string; secretAccessKey: string }

/** What a client of the gateway needs; buckets are addressed by path. */
export type S3Access = S3Keys & {
  endpoint: string
  region: string
  /** Signs the links of direct uploads. A bucket says what it may do: see `test/support/bucket.ts`. */
  links: S3Keys & { user: string }
}

export type TestS3 = S3Access & {
  /** Resolves with what happened as soon as the gateway has died or gives no answer; never where it is stopped. */
  failed: Promise<string>
  stop(): Promise<void>
}

/** What `startCephInBackground` leaves in its status file. */
export type CephStatus = { state: 'ready' } | { state: 'failed'; reason: string }

/**
 * A real S3: Ceph's RADOS gateway with one monitor and one OSD that keeps everything in memory, on loopback ports of
 * their own. Everything they write is below `directory`, which is emptied first. Takes one to two seconds.
 * @throws Error with the last lines of the logs if it does not start; nothing is left running then.
 */
export async function startCeph(
  directory: string,
  options: { access?: S3Access; signal?: AbortSignal } = {},
): Promise<TestS3> {
  const access = options.access ?? (await newAccess())
  const abandoned = new AbortController()
  const signals = [
    abandoned.signal,
    AbortSignal.timeout(START_MS),
    ...(options.signal ? [options.signal] : []),
  ]
  const cluster = new Cluster(directory, AbortSignal.any(signals))
  try {
    await cluster.prepare(access, await freePort())
    // All at once: each waits by itself until those it needs answer.
    await cluster.startDaemon('ceph-mon', ['--id', 'a'])
    await cluster.startDaemon('ceph-osd', ['--id', '0', '--no-mon-config'])
    await cluster.startDaemon('radosgw', ['--name', 'client.rgw.a', '--no-mon-config'])
    await cluster.untilAnswers(access.endpoint)
    // Not beside the gateway's start: on an empty cluster both would create the default zone.
    await cluster.createUser(USER, access)
    await cluster.createUser(access.links.user, access.links)
    const stopped = new AbortController()
    const stop = async () => {
      stopped.abort()
      await cluster.stop()
    }
    return { ...access, failed: cluster.failure(access.endpoint, stopped.signal), stop }
  } catch (error) {
    // The commands still running end as well.
    abandoned.abort()
    await cluster.stop()
    throw new Error(`Ceph did not start: ${error}\n${await cluster.lastLogLines()}`, { cause: error })
  }
}

/**
 * Starts Ceph without waiting for it: where it will answer is known at once. Whether it does, and that it does not any
 * more, is written to `statusFile` (a `CephStatus`), for processes other than this one: every suite that needs it fails
 * at once then, and says why. `stop` may be called at any time.
 */
export async function startCephInBackground(
  directory: string,
): Promise<{ access: S3Access; statusFile: string; stop(): Promise<void> }> {
  const access = await newAccess()
  const statusFile = `${directory}-status.json`
  const stopped = new AbortController()
  const fail = async (reason: string) => {
    console.error(reason)
    await writeWhole(statusFile, { state: 'failed', reason })
  }
  const starting = startCeph(directory, { access, signal: stopped.signal }).then(
    async (ceph) => {
      await writeWhole(statusFile, { state: 'ready' })
      void ceph.failed.then(fail)
      return ceph
    },
    async (error: unknown) => {
      if (!stopped.signal.aborted) await fail(`${error}`)
      return undefined
    },
  )
  return {
    access,
    statusFile,
    async stop() {
      stopped.abort()
      const ceph = await starting
      await ceph?.stop()
    },
  }
}

async function newAccess(): Promise<S3Access> {
  return {
    endpoint: `http://127.0.0.1:${await freePort()}`,
    region: 'us-east-1',
    ...newKeys(),
    links: { user: LINK_USER, ...newKeys() },
  }
}

const newKeys = (): S3Keys => ({
  accessKeyId: randomBytes(10).toString('hex').toUpperCase(),
  secretAccessKey: randomBytes(20).toString('hex'),
})

/** Readers see nothing or all of it. */
async function writeWhole(path: string, status: CephStatus): Promise<void> {
  await writeFile(`${path}.draft`, JSON.stringify(status))
  await rename(`${path}.draft`, path)
}

/** The processes of one Ceph and the directory they live in. */
class Cluster {
  readonly #directory: string
  readonly #configFile: string
  readonly #signal: AbortSignal
  readonly #daemons: { name: ProgramName; process: ChildProcess }[] = []

  constructor(directory: string, signal: AbortSignal) {
    this.#directory = directory
    this.#configFile = join(directory, 'ceph.conf')
    this.#signal = signal
    process.once('exit', this.#killAll)
  }

  // For a process that ends without stopping us, such as by an uncaught error.
  readonly #killAll = () => {
    for (const { process } of this.#daemons) process.kill('SIGKILL')
  }

  /** Writes the configuration, the keys and the empty stores of the monitor and the OSD. */
  async prepare(access: S3Access, monitorPort: number): Promise<void> {
    await rm(this.#directory, { recursive: true, force: true })
    await mkdir(join(this.#directory, 'mon'), { recursive: true })
    await mkdir(join(this.#directory, 'osd'))
    const clusterId = randomUUID()
    const monitor = `[v2:127.0.0.1:${monitorPort}/0]`
    const monitorMap = join(this.#directory, 'monmap')
    await writeFile(
      this.#configFile,
      configuration(this.#directory, clusterId, monitor, new URL(access.endpoint)),
    )
    await writeFile(join(this.#directory, 'keyring'), keyring(), { mode: 0o600 })
    await Promise.all([
      this.#run('monmaptool', ['--create', '--fsid', clusterId, '--addv', 'a', monitor, monitorMap]).then(
        () => this.#run('ceph-mon', ['--id', 'a', '--mkfs', '--monmap', monitorMap]),
      ),
      this.#run('ceph-osd', ['--id', '0', '--mkfs', '--osd-uuid', randomUUID(), '--no-mon-config']),
    ])
  }

  async startDaemon(name: ProgramName, options: string[]): Promise<void> {
    this.#signal.throwIfAborted()
    const log = await open(this.#logFile(name), 'a')
    // In a group of its own: a Ctrl-C of the terminal is for vitest, whose teardown stops us.
    const child = spawn(programPath(name), ['--conf', this.#configFile, '--foreground', ...options], {
      stdio: ['ignore', log.fd, log.fd],
      env: environment(),
      detached: true,
    })
    this.#daemons.push({ name, process: child })
    child.once('error', () => {
      // Shows as a process without an id in `untilAnswers`.
    })
    await log.close()
  }

  async untilAnswers(endpoint: string): Promise<void> {
    for (;;) {
      const signal = AbortSignal.any([this.#signal, AbortSignal.timeout(1_000)])
      const isUp = await fetch(endpoint, { signal }).then(
        async (response) => {
          await response.body?.cancel()
          return true
        },
        () => false,
      )
      if (isUp) return
      this.#signal.throwIfAborted()
      const dead = this.#death()
      if (dead) throw new Error(dead)
      await betweenLooks(POLL_MS)
    }
  }

  /** See `TestS3.failed`. Asks for a bucket that nobody has asked for, which the gateway has to ask the OSD about. */
  async failure(endpoint: string, stopped: AbortSignal): Promise<string> {
    const died = new AbortController()
    for (const { process } of this.#daemons) process.once('exit', () => died.abort())
    const ended = AbortSignal.any([stopped, died.signal])
    for (let look = 0; !ended.aborted; look++) {
      const signal = AbortSignal.any([ended, AbortSignal.timeout(SILENCE_MS)])
      try {
        await (await fetch(`${endpoint}/look-${look}`, { signal })).body?.cancel()
        await betweenLooks(LOOK_MS, ended)
      } catch {
        break
      }
    }
    if (stopped.aborted) return new Promise(() => {})
    const problem = this.#death() ?? `no answer in ${SILENCE_MS / 1000} s`
    return `The S3 gateway of the tests failed: ${problem}\n${await this.lastLogLines()}`
  }

  #death(): string | undefined {
    const dead = this.#daemons.find(({ process }) => !isAlive(process))
    return dead && `${dead.name} ended (${dead.process.exitCode ?? dead.process.signalCode})`
  }

  async createUser(name: string, { accessKeyId, secretAccessKey }: S3Keys): Promise<void> {
    const keys = ['--access-key', accessKeyId, '--secret-key', secretAccessKey]
    const user = ['user', 'create', '--uid', name, '--display-name', name, '--max-buckets', '0', ...keys]
    await this.#run('radosgw-admin', ['--name', 'client.rgw.a', '--no-mon-config', ...user])
  }

  /** Kills what was started and waits until it is gone; what it kept in memory is worth nothing without us. */
  async stop(): Promise<void> {
    await Promise.all(
      this.#daemons.splice(0).map(async ({ process }) => {
        if (!isAlive(process)) return
        const exited = new Promise((resolve) => process.once('exit', resolve))
        process.kill('SIGKILL')
        await exited
      }),
    )
    process.off('exit', this.#killAll)
  }

  async lastLogLines(): Promise<string> {
    const daemons: ProgramName[] = ['ceph-mon', 'ceph-osd', 'radosgw']
    const tails = daemons.map(async (name) => {
      const text = await readFile(this.#logFile(name), 'utf8').catch(() => '')
      return text
        .split('\n')
        .filter(Boolean)
        .slice(-5)
        .map((line) => `  ${name}: ${line}`)
    })
    return (await Promise.all(tails)).flat().join('\n')
  }

  async #run(name: ProgramName, options: string[]): Promise<void> {
    // monmaptool reads no configuration of ours, and the machine's own must not change what it does.
    await execa(programPath(name), ['--conf', this.#configFile, ...options], {
      env: environment(),
      cancelSignal: this.#signal,
      forceKillAfterDelay: 1_000,
    })
  }

  #logFile(name: ProgramName): string {
    return join(this.#directory, `${name}.log`)
  }
}

function isAlive(child: ChildProcess): boolean {
  return child.pid !== undefined && child.exitCode === null && child.signalCode === null
}

/** Without options for the Ceph of the machine itself, if it has one. */
function environment(): NodeJS.ProcessEnv {
  return { ...process.env, CEPH_ARGS: undefined, CEPH_CONF: undefined, CEPH_KEYRING: undefined }
}
