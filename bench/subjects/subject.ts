import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** Servers of others, in the order of a report. */
export const PEERS = ['stock', 'raw', 'tusd'] as const
export type PeerName = (typeof PEERS)[number]

/** Whom Landfall is compared with; `before` is another checkout of it. */
export type RivalName = PeerName | 'before'
export type SubjectName = RivalName | 'landfall'

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

/** A server program that has said its address. */
export type Running = Pick<Subject, 'pid' | 'url' | 'stop'>

const KEEPER = join(import.meta.dirname, 'keeper.ts')
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
): Promise<Running> {
  const child = forkProgram(program, args, env, nodeFlags)
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

/**
 * Starts a server program that is not of Node, as `startProgram` does: a process of Node in between ends it
 * with the bench. Measured is the program alone.
 */
export async function startForeign(
  program: string,
  args: readonly string[],
  env: Record<string, string>,
): Promise<Running> {
  const keeper = forkProgram(KEEPER, [program, ...args], env)
  const stop = () => stopProgram(keeper)
  try {
    const [url, [pid]] = await Promise.all([addressOf(keeper), once(keeper, 'message') as Promise<[number]>])
    return { pid, url, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

function forkProgram(
  program: string,
  args: readonly string[],
  env: Record<string, string>,
  nodeFlags: readonly string[] = [],
): ChildProcess {
  return fork(program, [...args], {
    execArgv: [...nodeFlags],
    // Production is what all are made for; nothing else of the caller's environment may tell them apart.
    env: { PATH: process.env.PATH, NODE_ENV: 'production', ...env },
    detached: true,
    stdio: ['ignore', 'pipe', 2, 'ipc'],
  })
}

async function addressOf(child: ChildProcess): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const timer = setTimeout(() => reject(new Error('a subject does not say its address')), START_MS)
  child.once('error', reject)
  let text = ''
  child.once('close', () => reject(new Error(`a subject ended while it started: ${text.trim()}`)))
  const read = (chunk: string) => {
    text += chunk
    const url = /(http:\S+)\n/.exec(text)?.[1]
    if (url) resolve(url)
  }
  child.stdout?.setEncoding('utf8').on('data', read)
  return await promise.finally(() => {
    clearTimeout(timer)
    // What it says later, such as a line for every request, is let go.
    child.stdout?.off('data', read).resume()
  })
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
