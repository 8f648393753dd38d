import { spawn } from 'node:child_process'
import { access, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { execa } from 'execa'
import { clamdVersion } from '../clamd-link.ts'
import type { ClamdAddress } from '../config.ts'
import type { Log } from '../log.ts'
import { supervise } from './supervise.ts'

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
 * Makes sure that a clamd answers at the address: uses the one that is there, or runs one when the address
 * is on this machine. Real signatures take half a minute to load; nothing here waits for them.
 */
export async function ensureClamd(options: EmbeddedClamdOptions): Promise<EmbeddedClamd> {
  const { address, log, directory } = options
  const files = { pid: join(directory, 'clamd.pid'), config: join(directory, 'clamd.conf') }
  await endLeftOver(files, log)
  if (await answers(address)) return { async stop() {} }
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
  await writeConfiguration(options, files)
  const clamd = supervise({
    name: 'clamd',
    start: () => {
      const child = spawn(program, ['--config-file', files.config], {
        detached: true,
        stdio: ['ignore', 'ignore', 'pipe'],
      })
      child.stderr?.setEncoding('utf8').on('data', (text: string) => {
        log.warn({ clamd: text.trim() }, 'clamd says')
      })
      return child
    },
    stopMs: STOP_MS,
    log,
  })
  return {
    async stop() {
      await clamd.stop()
      await rm(files.pid, { force: true })
    },
  }
}

type Files = { pid: string; config: string }

async function writeConfiguration(options: EmbeddedClamdOptions, files: Files): Promise<void> {
  const { directory, address } = options
  const temporary = join(directory, 'tmp')
  // What a killed daemon left in there is of no use to anyone.
  await rm(temporary, { recursive: true, force: true })
  await mkdir(temporary, { recursive: true })
  const signatures = await firstWithSignatures(options.signatureDirectories)
  const listen =
    'socketPath' in address
      ? [`LocalSocket ${address.socketPath}`]
      : [`TCPAddr ${address.host}`, `TCPSocket ${address.port}`]
  const user = process.getuid?.() === 0 ? ['User root'] : []
  const lines = [
    'Foreground yes',
    `DatabaseDirectory ${signatures}`,
    `TemporaryDirectory ${temporary}`,
    `PidFile ${files.pid}`,
    ...listen,
    ...user,
    // Beyond its limits clamd answers OK unless told otherwise; the largest file it can scan is below 2 GiB.
    'StreamMaxLength 4000M',
    'MaxScanSize 4000M',
    'MaxFileSize 2000M',
    'AlertExceedsMax yes',
    'MaxThreads 4',
  ]
  await writeFile(files.config, `${lines.join('\n')}\n`)
}

/** Ends the clamd that a killed server on this data directory left running, if it is still the same process. */
async function endLeftOver(files: Files, log: Log): Promise<void> {
  const pid = Number(await readFile(files.pid, 'utf8').catch(() => ''))
  if (!Number.isInteger(pid) || pid <= 0 || !(await commandLine(pid)).includes(files.config)) return
  log.info({ pid }, 'ending the clamd of a server that was killed')
  process.kill(pid, 'SIGTERM')
  const isAlive = async () => (await commandLine(pid)).includes(files.config)
  for (let waited = 0; (await isAlive()) && waited < STOP_MS; waited += 50) await sleep(50)
  if (await isAlive()) process.kill(pid, 'SIGKILL')
  await rm(files.pid, { force: true })
}

/** How a process was started; empty when there is none, or it has ended and waits to be reaped. */
async function commandLine(pid: number): Promise<string> {
  try {
    return (await readFile(`/proc/${pid}/cmdline`, 'utf8')).replaceAll('\0', ' ')
  } catch {
    // No such process, or a system without /proc.
    const { stdout } = await execa('ps', ['-o', 'args=', '-p', String(pid)], { reject: false })
    return stdout ?? ''
  }
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

async function isThere(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  )
}
