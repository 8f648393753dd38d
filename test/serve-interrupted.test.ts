import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { listProcesses, untilGone } from './support/processes.ts'
import { enterableDirectory, type Run, runServer, stopRun } from './support/server-process.ts'

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
        env: { AUTH_JWT_SECRET: '', CLAMD_URL: '' },
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
