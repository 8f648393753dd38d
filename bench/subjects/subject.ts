import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'

/** `before` is another checkout of Landfall. */
export type SubjectName = 'stock' | 'before' | 'landfall'

/** A server under measurement, running as a process of its own. */
export type Subject = {
  name: SubjectName
  pid: number
  url: string
  /** The first process of the database that it alone uses; undefined where it needs none. */
  databasePid: number | undefined
  /** What its requests carry besides what tus asks for. */
  headers: Record<string, string>
  /** Removes the files that it has stored, those in a bucket aside. */
  removeFiles(): Promise<void>
  stop(): Promise<void>
}

const START_MS = 30_000
const STOP_MS = 15_000

/**
 * Starts a server program and waits until it prints its address. It ends when asked or with the bench,
 * even a killed one: over its channel it notices.
 */
export async function startProgram(
  program: string,
  args: readonly string[],
  env: Record<string, string>,
  nodeFlags: readonly string[] = [],
): Promise<{ pid: number; url: string; stop(): Promise<void> }> {
  const child = fork(program, [...args], {
    execArgv: [...nodeFlags],
    // Production is what all are made for; nothing else of the caller's environment may tell them apart.
    env: { PATH: process.env.PATH, NODE_ENV: 'production', ...env },
    detached: true,
    stdio: ['ignore', 'pipe', 2, 'ipc'],
  })
  const stop = () => stopProgram(child)
  try {
    const url = await addressOf(child)
    if (child.pid === undefined) throw new Error(`${program} could not be started`)
    return { pid: child.pid, url, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

async function addressOf(child: ChildProcess): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const timer = setTimeout(() => reject(new Error('a subject does not say its address')), START_MS)
  child.once('error', reject)
  child.once('exit', () => reject(new Error('a subject ended while it started')))
  let text = ''
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
    const url = /(http:\S+)\n/.exec(text)?.[1]
    if (url) resolve(url)
  })
  return await promise.finally(() => clearTimeout(timer))
}

async function stopProgram(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  const timeout = new AbortController()
  const late = sleep(STOP_MS, 'late', { signal: timeout.signal }).catch(() => {})
  if ((await Promise.race([exited, late])) === 'late') child.kill('SIGKILL')
  timeout.abort()
  await exited
}
