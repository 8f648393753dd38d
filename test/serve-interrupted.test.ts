import { once } from 'node:events'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterEach, describe, expect, it } from 'vitest'
import { clamdVersion } from '../server/clamd-link.ts'
import { requires } from './services/requirements.ts'
import { isRunning, listProcesses, untilGone } from './support/processes.ts'
import { enterableDirectory, type Run, runServer, stopRun } from './support/server-process.ts'

const clamd = requires('clamd')

const undo: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step()
})

async function freshDataDirectory(): Promise<string> {
  const parent = await enterableDirectory()
  undo.push(() => rm(parent, { recursive: true, force: true }))
  return join(parent, 'data')
}

function start(dataDirectory: string, options: Parameters<typeof runServer>[1] = {}): Run {
  const run = runServer(dataDirectory, options)
  undo.push(() => stopRun(run, dataDirectory))
  return run
}

/** Whatever runs with this directory among its words: PostgreSQL, clamd, initdb. */
const runningOn = async (dataDirectory: string) =>
  (await listProcesses()).filter(({ command }) => command.includes(dataDirectory))

const childrenOf = async ({ pid }: Run) => (await listProcesses()).filter(({ parent }) => parent === pid)

const clamdOf = async (run: Run) =>
  (await childrenOf(run)).find(({ command }) => /clamd --config-file/.test(command))?.pid

describe('a server that is told to stop while it starts', () => {
  const interruptions: [signal: NodeJS.Signals, to: string, target: (run: Run) => number, exit: object][] = [
    ['SIGINT', 'itself', ({ pid }) => pid, { code: 0, signal: null }],
    ['SIGTERM', 'itself', ({ pid }) => pid, { code: 0, signal: null }],
    // What a terminal does at Ctrl-C; whatever makes the database then must not get it.
    ['SIGINT', 'all of its group', ({ pid }) => -pid, { code: 0, signal: null }],
  ]

  it.each(interruptions)(
    'by %s to %s when PostgreSQL has just been started, leaves nothing running',
    async (signal, _to, target, exit) => {
      const dataDirectory = await freshDataDirectory()
      const run = start(dataDirectory, {
        args: ['--dev'],
        env: { AUTH_JWT_SECRET: '', CLAMD_URL: `tcp://127.0.0.1:${await freePort()}` },
      })
      const pidFile = join(dataDirectory, 'postgres', 'cluster', 'postmaster.pid')
      const postgres = await untilSeen(async () => {
        const pid = Number((await readFile(pidFile, 'utf8').catch(() => '')).split('\n', 1)[0])
        return pid > 0 ? pid : undefined
      })
      process.kill(target(run), signal)
      expect(await run.exited).toMatchObject(exit)
      await run.closed
      await untilGone([postgres], 5_000)
      expect(await runningOn(dataDirectory)).toEqual([])
      expect(run.stdout()).toBe('')
    },
  )

  it('starts as usual the next time', async () => {
    const dataDirectory = await freshDataDirectory()
    const interrupted = start(dataDirectory)
    await untilSeen(async () => (await runningOn(dataDirectory))[0])
    process.kill(interrupted.pid, 'SIGINT')
    expect(await interrupted.exited).toEqual({ code: 0, signal: null })
    expect(await runningOn(dataDirectory)).toEqual([])
    await start(dataDirectory).address
  })
})

describe.skipIf(!clamd.met)('the clamd of a server', () => {
  it('is started again when it is killed', async () => {
    const dataDirectory = await freshDataDirectory()
    const port = await freePort()
    const run = start(dataDirectory, {
      args: ['--dev'],
      env: { AUTH_JWT_SECRET: '', CLAMD_URL: `tcp://127.0.0.1:${port}` },
    })
    await run.address
    const first = await untilSeen(() => clamdOf(run))
    const answer = () => clamdVersion({ host: '127.0.0.1', port }, 1_000).catch(() => undefined)
    await untilSeen(answer)
    process.kill(first, 'SIGKILL')
    await untilGone([first], 5_000)

    const second = await untilSeen(() => clamdOf(run))
    expect(second).not.toBe(first)
    expect(await untilSeen(answer)).toMatch(/^ClamAV/)
    process.kill(-run.pid, 'SIGINT')
    expect(await run.exited).toEqual({ code: 0, signal: null })
    await untilGone([second], 1_000)
  })

  it.each([
    ['where another clamd answers', {}],
    ['where it runs one of its own', { ownClamd: true }],
  ])(
    'is nobody else, whatever a stale clamd.pid says: that process lives on, %s',
    async (_where, options) => {
      const dataDirectory = await freshDataDirectory()
      const bystander = execa('sleep', ['300'], { reject: false })
      undo.push(async () => {
        bystander.kill()
        await bystander
      })
      const pid = bystander.pid ?? 0
      await mkdir(join(dataDirectory, 'clamd'), { recursive: true })
      await writeFile(join(dataDirectory, 'clamd', 'clamd.pid'), `${pid}\n`)

      const env: Record<string, string> =
        'ownClamd' in options ? { CLAMD_URL: `tcp://127.0.0.1:${await freePort()}` } : {}
      const run = start(dataDirectory, { env })
      await run.address
      expect(await isRunning(pid)).toBe(true)
      process.kill(-run.pid, 'SIGTERM')
      expect(await run.exited).toEqual({ code: 0, signal: null })
      expect(await isRunning(pid)).toBe(true)
    },
  )
})

/** Looks until there is something to be seen. */
async function untilSeen<T>(look: () => Promise<T | undefined>): Promise<T> {
  let seen: T | undefined
  await expect
    .poll(
      async () => {
        seen = await look()
        return seen
      },
      { timeout: 30_000, interval: 10 },
    )
    .toBeDefined()
  if (seen === undefined) throw new Error('there is nothing to be seen')
  return seen
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo
  probe.close()
  await once(probe, 'close')
  return port
}
