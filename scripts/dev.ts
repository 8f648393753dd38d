/**
 * `npm run dev`: serves as `npm start` does, and restarts server and worker when one of their sources changes. PostgreSQL and
 * clamd are started once and outlive that, so that a restart takes no longer than the server's own.
 *
 *     node scripts/dev.ts [--inspect[=PORT]]
 *
 * Options that begin with `--inspect` are for the Node of the server.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { explain } from '../commands/explain.ts'
import { openOwnServices } from '../commands/own-services.ts'
import { type Environment, parseConfig } from '../server/config.ts'
import { createLog } from '../server/process/log.ts'
import { NODE_FLAGS } from '../server/process/node-flags.ts'
import { Releasers } from '../server/process/releasers.ts'
import { listenForStop } from '../server/process/signals.ts'

const ROOT = join(import.meta.dirname, '..')

/** The rooms of server and worker. */
export const WATCHED = [
  'landfall.ts',
  'commands',
  'server',
  'hooks',
  'processing',
  'jobs',
  'content',
  'storage',
  'ledger',
  'migrations',
  'system',
]

export type WatchedProgram = {
  /** What Node is given: options, the program, its arguments. */
  args: readonly string[]
  /** Files and folders, from the root or absolute: the program is stopped in order and started again when one changes. */
  watched: readonly string[]
  env: Environment
}

/** Runs a program, again and again, until the signal says stop: then it is stopped in order, too. */
export async function runWatched({ args, watched, env }: WatchedProgram, stop: AbortSignal): Promise<void> {
  const paths = watched.map((path) => `--watch-path=${path}`)
  const child = spawn(process.execPath, ['--watch', '--watch-preserve-output', ...paths, ...args], {
    cwd: ROOT,
    env: { ...env },
    stdio: 'inherit',
    // A group of its own: a Ctrl-C of the terminal is for us, and a server that got two signals would end at once.
    detached: true,
  })
  const exited = once(child, 'exit')
  const end = () => child.kill('SIGTERM')
  stop.addEventListener('abort', end, { once: true })
  if (stop.aborted) end()
  await exited
  stop.removeEventListener('abort', end)
}

async function main(options: readonly string[]): Promise<void> {
  const { env } = process
  const config = parseConfig(env, { auth: false })
  const log = createLog({ level: config.LOG_LEVEL, name: 'landfall-dev' })
  const stop = listenForStop(log)
  const over = new AbortController()
  const releasers = new Releasers()
  try {
    const { database, clamd } = await openOwnServices(config, env, log, { releasers, stop })
    void Promise.race([stop.asked, database.lost]).then((lost) => {
      if (lost) log.error({ err: lost }, 'the embedded database is gone')
      over.abort()
    })
    const args = [...options, ...NODE_FLAGS, 'landfall.ts', 'serve', '--dev']
    const services = { DATABASE_URL: database.connectionString, ...clamd.forWorker }
    await runWatched({ args, watched: WATCHED, env: { ...env, ...services } }, over.signal)
  } finally {
    await releasers.releaseAll(log)
  }
}

if (import.meta.main) {
  const options = process.argv.slice(2)
  const unknown = options.filter((option) => !option.startsWith('--inspect'))
  if (unknown.length > 0) {
    console.error(
      `npm run dev takes --inspect[=PORT] and settings as environment variables, not ${unknown.join(' ')}`,
    )
    process.exit(2)
  }
  process.umask(0o077)
  try {
    await main(options)
  } catch (error) {
    process.exitCode = explain(error)
  }
}
