import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { lstat, mkdir, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterEach, describe, expect, it } from 'vitest'
import { type OwnClamdOptions, startOwnClamd } from '../server/embedded/clamd.ts'
import { findServersClamd } from '../server/embedded/clamd-records.ts'
import { clamdVersion } from '../server/health/clamd-link.ts'
import { createLog } from '../server/process/log.ts'
import { jpeg } from './fixtures/media.ts'
import { programPath, requires } from './services/requirements.ts'
import { runCommand } from './support/command.ts'
import { fakeClamd } from './support/fake-clamd.ts'
import { freshDatabase, type Landfall, tokenOf } from './support/landfall.ts'
import { isRunning, listProcesses, untilGone } from './support/processes.ts'
import {
  enterableDirectory,
  type Run,
  runServer,
  type ServerProcess,
  startServerProcess,
  stopRun,
} from './support/server-process.ts'
import { outcome, sendFile } from './support/uploads.ts'

const ffmpeg = requires('ffmpeg')
const clamd = requires('clamd')
const isRoot = process.getuid?.() === 0
/** Of a server that has no `CLAMD_URL`, and one set by the tests otherwise. */
const OWN = { CLAMD_URL: '' }

const undo: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step()
})

async function server(env: Record<string, string> = OWN): Promise<ServerProcess> {
  const started = await startServerProcess(env)
  undo.push(() => started.stop())
  return started
}

async function freshDirectory(): Promise<string> {
  const directory = await enterableDirectory()
  undo.push(() => rm(directory, { recursive: true, force: true }))
  return directory
}

/** The clamd among the children of a process. */
async function clamdsOf(parent: number): Promise<number[]> {
  return (await listProcesses())
    .filter((line) => line.parent === parent && /clamd --config-file/.test(line.command))
    .map(({ pid }) => pid)
}

/** The first clamd of a process that answers, other than these. */
async function untilAnswers(parent: number, dataDirectory: string, former: number[] = []): Promise<number> {
  return await untilSeen(async () => {
    const [pid] = (await clamdsOf(parent)).filter((one) => !former.includes(one))
    const address = await findServersClamd(dataDirectory)
    if (pid === undefined || address === undefined) return undefined
    return await clamdVersion(address, 1_000).then(
      () => pid,
      () => undefined,
    )
  })
}

type Client = Pick<Landfall, 'url' | 'token' | 'as'>

async function uploadIsScanned(target: Client): Promise<void> {
  const file = await jpeg({ width: 1600, height: 900 })
  const { uploadId } = await sendFile(target, 'alice', file)
  expect(await outcome(target, 'alice', uploadId)).toMatchObject({ status: 'ready', sha256: file.sha256 })
}

const leftIn = async (dataDirectory: string) =>
  (await readdir(dataDirectory)).filter((name) => name.startsWith('clamd'))

describe.skipIf(!ffmpeg.met || !clamd.met)('the clamd of a server without CLAMD_URL', () => {
  it('listens on a private socket and on no port, and not as root', async () => {
    const target = await server()
    const pid = await untilAnswers(target.run().pid, target.dataDirectory)
    const { socketPath = '' } = (await findServersClamd(target.dataDirectory)) ?? {}
    expect(socketPath.startsWith(`${target.dataDirectory}/clamd-`)).toBe(true)
    const folder = await lstat(join(socketPath, '..'))
    expect((folder.mode & 0o777).toString(8)).toBe('700')
    expect(((await lstat(socketPath)).mode & 0o777).toString(8)).toBe('600')
    if (process.platform === 'linux') {
      const status = await readFile(`/proc/${pid}/status`, 'utf8')
      const clamav = isRoot ? Number((await execa('id', ['-u', 'clamav'])).stdout) : process.getuid?.()
      expect(/^Uid:\s+(.*)$/m.exec(status)?.[1]?.split('\t')).toEqual(Array(4).fill(String(clamav)))
      expect(folder.uid).toBe(clamav)
      expect(await portsOf(pid)).toEqual([])
    }
    await uploadIsScanned(target)
  })

  it('is started again when it is killed, and files go on being scanned', async () => {
    const target = await server()
    const first = await untilAnswers(target.run().pid, target.dataDirectory)
    process.kill(first, 'SIGKILL')
    await untilAnswers(target.run().pid, target.dataDirectory, [first])
    await uploadIsScanned(target)
  })

  it('ends with the server, and leaves no socket; that of a killed server is replaced', async () => {
    const target = await server()
    const first = await untilAnswers(target.run().pid, target.dataDirectory)
    await target.kill('SIGKILL')
    expect(await isRunning(first)).toBe(true)

    await target.restart()
    expect(await isRunning(first)).toBe(false)
    expect(await leftIn(target.dataDirectory)).toHaveLength(2)
    const second = await untilAnswers(target.run().pid, target.dataDirectory)
    await uploadIsScanned(target)

    expect(await target.kill('SIGTERM')).toEqual({ code: 0, signal: null })
    expect(await isRunning(second)).toBe(false)
    expect(await leftIn(target.dataDirectory)).toEqual([])
  })

  it('is its own, though another listens on 3310', async () => {
    const stranger = await listenOn(3310)
    // Where the port is taken, somebody is there already.
    const target = await server()
    await untilAnswers(target.run().pid, target.dataDirectory)
    await uploadIsScanned(target)
    expect(stranger?.connections() ?? 0).toBe(0)
  })

  it('serves a worker beside the server on the same DATA_DIR, which does not start without', async () => {
    const dataDirectory = join(await freshDirectory(), 'data')
    const env = { DATABASE_URL: await freshDatabase() }
    const refused = await runCommand(dataDirectory, ['worker'], env)
    expect(refused).toMatchObject({ exitCode: 2, stdout: '' })
    expect(refused.stderr).toMatch(
      /^landfall: CLAMD_URL: "" is not accepted; .* no server on .* runs a clamd$/,
    )

    const target = start(dataDirectory, { ...env, ...OWN, WORKER: 'off' })
    const url = await target.run.address
    await untilAnswers(target.run.pid, dataDirectory)
    const doctor = await runCommand(dataDirectory, ['doctor'], env)
    expect(doctor.stdout).toMatch(/^ok +clamd: the server's own, unix:.*\/clamd\.sock: ClamAV /m)
    const worker = spawn(process.execPath, [join(import.meta.dirname, '..', 'landfall.ts'), 'worker'], {
      env: { PATH: process.env.PATH, DATA_DIR: dataDirectory, ...env },
      stdio: 'ignore',
    })
    undo.push(async () => {
      worker.kill('SIGTERM')
      if (worker.exitCode === null) await once(worker, 'exit')
    })
    await uploadIsScanned(clientOf(url))
  })

  it('is not shared by servers on one DATA_DIR: each has its own, and leaves those of others alone', async () => {
    const dataDirectory = join(await freshDirectory(), 'data')
    const env = { DATABASE_URL: await freshDatabase(), ...OWN, WORKER: 'off' }
    const first = start(dataDirectory, env)
    await first.run.address
    const [pid = 0] = [await untilAnswers(first.run.pid, dataDirectory)]
    const second = start(dataDirectory, env)
    await second.run.address
    await untilSeen(async () => (await clamdsOf(second.run.pid))[0])
    expect(await clamdsOf(first.run.pid)).toEqual([pid])

    process.kill(second.run.pid, 'SIGTERM')
    await second.run.exited
    expect(await clamdsOf(first.run.pid)).toEqual([pid])
    expect(await untilAnswers(first.run.pid, dataDirectory)).toBe(pid)
  })
})

describe('a clamd that CLAMD_URL names', () => {
  it('is used, and not replaced when it goes: that is degraded', async () => {
    const stranger = await fakeClamd('ClamAV 1.4.3/27780/Fri Nov 20 09:00:00 2026')
    const target = await server({ CLAMD_URL: stranger.url })
    const readiness = async () => {
      const answer = await fetch(`${target.url}/readyz`)
      return { code: answer.status, body: (await answer.json()) as { status: string } }
    }
    expect(await readiness()).toMatchObject({ code: 200, body: { status: 'ready' } })
    await stranger[Symbol.asyncDispose]()
    await expect
      .poll(readiness, { timeout: 15_000, interval: 500 })
      .toMatchObject({ code: 200, body: { status: 'degraded' } })
    expect(await clamdsOf(target.run().pid)).toEqual([])
    expect(await leftIn(target.dataDirectory)).toEqual([])
  })
})

describe.skipIf(!clamd.met)('a clamd of one’s own', () => {
  const options = (dataDirectory: string): OwnClamdOptions => ({
    dataDirectory,
    signatureDirectories: [join(import.meta.dirname, '..', 'processing', 'clamav')],
    searchPath: process.env.PATH ?? '',
    nice: 0,
    log: createLog({ level: 'silent', name: 'test' }),
    health: { everyMs: 100, silentMs: 2_000, startMs: 10_000 },
  })
  const startOne = async (dataDirectory: string) => {
    const own = await startOwnClamd(options(dataDirectory))
    undo.push(own.stop)
    return own
  }

  it('is replaced when it hangs', async () => {
    const dataDirectory = await freshDirectory()
    await startOne(dataDirectory)
    const first = await untilAnswers(process.pid, dataDirectory)
    process.kill(first, 'SIGSTOP')
    await untilAnswers(process.pid, dataDirectory, [first])
    expect(await isRunning(first)).toBe(false)
  })

  it('listens below the directory for temporary files where the path would be too long, and tidies up', async () => {
    const dataDirectory = join(await freshDirectory(), 'd'.repeat(100))
    await mkdir(dataDirectory, { mode: 0o755 })
    const own = await startOne(dataDirectory)
    const pid = await untilAnswers(process.pid, dataDirectory)
    const folder = join(own.address.socketPath, '..')
    expect(folder.startsWith(dataDirectory)).toBe(false)
    expect(((await lstat(folder)).mode & 0o777).toString(8)).toBe('700')
    await own.stop()
    expect(await isRunning(pid)).toBe(false)
    await expect(lstat(folder)).rejects.toThrow('ENOENT')
    expect(await leftIn(dataDirectory)).toEqual([])
  })

  it('ends that of an earlier release whose server was killed, and nobody else', async () => {
    const dataDirectory = await freshDirectory()
    const folder = join(dataDirectory, 'clamd')
    await mkdir(folder)
    const config = join(folder, 'clamd.conf')
    const lines = [
      ...['Foreground yes', 'User root', `DatabaseDirectory ${options('').signatureDirectories[0]}`],
      `LocalSocket ${join(folder, 'socket')}`,
    ].filter((line) => isRoot || !line.startsWith('User'))
    await writeFile(config, `${lines.join('\n')}\n`)
    // Its parent ends at once, as a server that is killed.
    await execa('sh', ['-c', `"${programPath('clamd')}" --config-file "${config}" >/dev/null 2>&1 &`])
    const bystander = execa(
      process.execPath,
      ['-e', 'setInterval(() => {}, 300_000)', 'clamd', '--config-file', config],
      { reject: false },
    )
    undo.push(async () => {
      bystander.kill()
      await bystander
    })
    await untilSeen(() => lstat(join(folder, 'socket')).catch(() => undefined))
    const orphan = (await listProcesses()).find(
      ({ command }) => command.endsWith(`clamd --config-file ${config}`) && /^\S*clamd --/.test(command),
    )
    await startOne(dataDirectory)
    await untilGone([orphan?.pid ?? 0], 1_000)
    expect(await isRunning(bystander.pid ?? 0)).toBe(true)
    await expect(lstat(folder)).rejects.toThrow('ENOENT')
  })
})

function start(dataDirectory: string, env: Record<string, string>): { run: Run } {
  const run = runServer(dataDirectory, { env })
  undo.push(() => stopRun(run, dataDirectory))
  return { run }
}

/** What an upload takes of a server at this address. */
function clientOf(url: string): Client {
  const as =
    (sub: string) =>
    async (path: string, init: RequestInit = {}) => {
      const headers = new Headers(init.headers)
      headers.set('Authorization', `Bearer ${tokenOf(sub)}`)
      return await fetch(new URL(path, url), { ...init, headers })
    }
  return { url, token: tokenOf, as }
}

/** The TCP ports that a process listens on. */
async function portsOf(pid: number): Promise<string[]> {
  const names = await readdir(`/proc/${pid}/fd`)
  const links = await Promise.all(names.map((name) => readlink(`/proc/${pid}/fd/${name}`).catch(() => '')))
  const inodes = new Set(links.map((link) => /^socket:\[(\d+)\]$/.exec(link)?.[1]))
  const tables = await Promise.all(
    ['tcp', 'tcp6'].map((name) => readFile(`/proc/net/${name}`, 'utf8').catch(() => '')),
  )
  return tables
    .flatMap((table) => table.split('\n').slice(1))
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , , state, , , , , , inode]) => state === '0A' && inodes.has(inode))
    .map(([, local = '']) => local)
}

/** Somebody else's server on a loopback port; undefined where the port is taken. */
async function listenOn(port: number): Promise<{ connections(): number } | undefined> {
  let connections = 0
  const listener: Server = createServer((socket) => {
    connections += 1
    socket.destroy()
  })
  listener.listen(port, '127.0.0.1')
  const isFree = await Promise.race([
    once(listener, 'listening').then(() => true),
    once(listener, 'error').then(() => false),
  ]).catch(() => false)
  if (!isFree) return undefined
  undo.push(async () => listener.close())
  return { connections: () => connections }
}

/** Looks until there is something to be seen. */
async function untilSeen<T>(look: () => Promise<T | undefined>): Promise<T> {
  let seen: T | undefined
  await expect
    .poll(
      async () => {
        seen = await look()
        return seen
      },
      { timeout: 30_000, interval: 20 },
    )
    .toBeDefined()
  if (seen === undefined) throw new Error('there is nothing to be seen')
  return seen
}
