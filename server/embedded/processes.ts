import { readdir, readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { runProgram } from '../../system/programs.ts'

type ProcessLine = { pid: number; parent: number; args: readonly string[] }

const END_MS = 5_000
const LOOK_MS = 50

/**
 * When a process started: unique together with its pid on this machine; undefined where it has ended or is a zombie.
 */
export async function startOf(pid: number): Promise<string | undefined> {
  if (process.platform !== 'linux') {
    const { stdout } = await runProgram('ps', ['-o', 'lstart=', '-p', String(pid)], { reject: false })
    return stdout?.trim() || undefined
  }
  const fields = await statOf(pid)
  const [state, startTicks] = [fields?.[0], fields?.[19]]
  if (state === undefined || state === 'Z') return undefined
  const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '')
  return `${boot.trim()} ${startTicks}`
}

/** The processes that run this program with exactly these arguments, which contain a unique path. */
export async function runningWith(program: string, args: readonly string[]): Promise<ProcessLine[]> {
  return (await listProcesses()).filter(
    ({ args: [first = '', ...rest] }) => basename(first) === program && rest.join(' ') === args.join(' '),
  )
}

/** The command line of a process; empty where it has ended. */
export async function argumentsOf(pid: number): Promise<readonly string[]> {
  return (await listProcesses()).find((line) => line.pid === pid)?.args ?? []
}

/**
 * Ends a process with SIGTERM, and after some seconds with SIGKILL. `isThere`: whether it still is the same process.
 */
export async function endProcess(pid: number, isThere: () => Promise<boolean>): Promise<void> {
  signal(pid, 'SIGTERM')
  for (let waited = 0; (await isThere()) && waited < END_MS; waited += LOOK_MS) await sleep(LOOK_MS)
  if (await isThere()) signal(pid, 'SIGKILL')
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch {
    // It has just ended, or belongs to another user.
  }
}

async function listProcesses(): Promise<ProcessLine[]> {
  if (process.platform !== 'linux') {
    const { stdout } = await runProgram('ps', ['-A', '-o', 'pid=,ppid=,command='], { reject: false })
    return (stdout ?? '').split('\n').flatMap((line) => {
      const [, pid, parent, command = ''] = /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line) ?? []
      return pid === undefined ? [] : [{ pid: Number(pid), parent: Number(parent), args: command.split(' ') }]
    })
  }
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number)
  const lines = await Promise.all(
    pids.map(async (pid) => {
      const [fields, args] = [
        await statOf(pid),
        await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => ''),
      ]
      if (fields === undefined || fields[0] === 'Z') return []
      return [{ pid, parent: Number(fields[1]), args: args.split('\0').slice(0, -1) }]
    }),
  )
  return lines.flat()
}

/** The fields of `/proc/PID/stat` after the name, which may contain anything: state, parent and so on. */
async function statOf(pid: number): Promise<string[] | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined)
  return text?.slice(text.lastIndexOf(')') + 2).split(' ')
}
