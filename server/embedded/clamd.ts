import { type ChildProcess, spawn } from 'node:child_process'
import { access, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { clamdVersion } from '../clamd-link.ts'
import type { ClamdAddress } from '../config.ts'
import type { Log } from '../log.ts'

export type EmbeddedClamd = { stop(): Promise<void> }

export type EmbeddedClamdOptions = {
  address: ClamdAddress
  /** Where its configuration, pid and temporary files go. */
  directory: string
  /** Signature directories in order of preference; the last one is the bundled test database. */
  signatureDirectories: readonly string[]
  /** Directories to find clamd in, separated by colons. */
  searchPath: string
  log: Log
}

/** Daemons are often outside of a user's PATH. */
const SYSTEM_DIRECTORIES = ['/usr/sbin', '/usr/local/sbin', '/opt/homebrew/sbin']
const LOOPBACK = new Set(['127.0.0.1', 'localhost', '::1'])
const STOP_MS = 5_000

/**
 * Makes sure that a clamd answers at the address: uses the one that is there, or starts one when the
 * address is on this machine. Real signatures take half a minute to load; nothing here waits for them.
 */
export async function ensureClamd(options: EmbeddedClamdOptions): Promise<EmbeddedClamd> {
  const { address, log, directory } = options
  const pidFile = join(directory, 'clamd.pid')
  if (await answers(address)) {
    const pid = await ownPid(pidFile)
    if (pid === undefined) return { async stop() {} }
    log.info('took over the clamd of a server that was killed')
    return { stop: () => stopPid(pid, pidFile) }
  }
  if ('host' in address && !LOOPBACK.has(address.host)) {
    log.warn('clamd does not answer; files stay unscanned, and are not served, until it does')
    return { async stop() {} }
  }
  const program = await findProgram(options.searchPath)
  if (!program) {
    log.error(
      'clamd is not installed; files stay unscanned, and are not served, until one answers (or set SCAN=off)',
    )
    return { async stop() {} }
  }
  const child = await start(program, options, pidFile)
  return {
    async stop() {
      if (child.pid !== undefined && child.exitCode === null) await stopPid(child.pid, pidFile)
    },
  }
}

async function start(program: string, options: EmbeddedClamdOptions, pidFile: string): Promise<ChildProcess> {
  const { directory, address, log } = options
  const temporary = join(directory, 'tmp')
  // What a killed daemon left in there is of no use to anyone.
  await rm(temporary, { recursive: true, force: true })
  await mkdir(temporary, { recursive: true })
  const signatures = await firstWithSignatures(options.signatureDirectories)
  const configFile = join(directory, 'clamd.conf')
  const listen =
    'socketPath' in address
      ? [`LocalSocket ${address.socketPath}`]
      : [`TCPAddr ${address.host}`, `TCPSocket ${address.port}`]
  const user = process.getuid?.() === 0 ? ['User root'] : []
  const lines = [
    'Foreground yes',
    `DatabaseDirectory ${signatures}`,
    `TemporaryDirectory ${temporary}`,
    `PidFile ${pidFile}`,
    ...listen,
    ...user,
    // Beyond its limits clamd answers OK unless told otherwise; ours lie above any accepted file.
    'StreamMaxLength 4000M',
    'MaxScanSize 4000M',
    'MaxFileSize 2000M',
    'AlertExceedsMax yes',
    'MaxThreads 4',
  ]
  await writeFile(configFile, `${lines.join('\n')}\n`)
  // In a group of its own: Ctrl-C reaches us first, and we stop it when nobody scans any more.
  const child = spawn(program, ['--config-file', configFile], {
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  child.once('error', (error) => log.error({ err: error }, 'clamd could not be started'))
  child.once('exit', (code, signal) => {
    if (signal === null && code !== 0) log.error({ code }, 'clamd ended')
  })
  child.stderr
    ?.setEncoding('utf8')
    .on('data', (text: string) => log.warn({ clamd: text.trim() }, 'clamd says'))
  return child
}

async function answers(address: ClamdAddress): Promise<boolean> {
  return await clamdVersion(address, 1_000).then(
    () => true,
    () => false,
  )
}

async function firstWithSignatures(directories: readonly string[]): Promise<string> {
  for (const directory of directories.slice(0, -1)) {
    for (const name of ['main.cvd', 'main.cld', 'daily.cvd', 'daily.cld']) {
      if (await isThere(join(directory, name))) return directory
    }
  }
  const last = directories.at(-1)
  if (last === undefined) throw new Error('no signature directory given')
  return last
}

async function findProgram(searchPath: string): Promise<string | undefined> {
  for (const directory of [...searchPath.split(':'), ...SYSTEM_DIRECTORIES]) {
    if (await isThere(join(directory, 'clamd'))) return join(directory, 'clamd')
  }
  return undefined
}

/** The pid of a clamd that a server on this data directory started and that is still alive. */
async function ownPid(pidFile: string): Promise<number | undefined> {
  const pid = Number(await readFile(pidFile, 'utf8').catch(() => ''))
  return Number.isInteger(pid) && pid > 0 && isAlive(pid) ? pid : undefined
}

async function stopPid(pid: number, pidFile: string): Promise<void> {
  if (!isAlive(pid)) return
  process.kill(pid, 'SIGTERM')
  // Bounded, for a process that nobody reaps looks alive for ever.
  for (let waited = 0; isAlive(pid) && waited < STOP_MS; waited += 50) await sleep(50)
  if (isAlive(pid)) process.kill(pid, 'SIGKILL')
  await rm(pidFile, { force: true })
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    // ESRCH: there is no such process.
    return false
  }
}

async function isThere(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  )
}
