import { readdirSync, readFileSync } from 'node:fs'
import { execa } from 'execa'
import { betweenLooks } from './pauses.ts'

export type ProcessLine = { pid: number; parent: number; command: string }

/** Every process of this machine. From /proc where there is one: small images have no `ps`. */
export async function listProcesses(): Promise<ProcessLine[]> {
  if (process.platform === 'linux') return readProc()
  const { stdout } = await execa('ps', ['-A', '-o', 'pid=,ppid=,command='])
  return stdout.split('\n').flatMap((line) => {
    const [, pid, parent, command = ''] = /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line) ?? []
    return pid === undefined ? [] : [{ pid: Number(pid), parent: Number(parent), command }]
  })
}

/** Whether the process is there and not merely waiting to be reaped. */
export async function isRunning(pid: number): Promise<boolean> {
  return (await listProcesses()).some((line) => line.pid === pid)
}

/** Resolves when none of the processes is left; fails with their names after `withinMs`. They need not be our children, so nobody tells us. */
export async function untilGone(pids: readonly number[], withinMs: number): Promise<void> {
  const deadline = performance.now() + withinMs
  for (;;) {
    const left = (await listProcesses()).filter((line) => pids.includes(line.pid))
    if (left.length === 0) return
    if (performance.now() > deadline) {
      throw new Error(`still running: ${left.map((line) => `${line.pid} ${line.command}`).join(', ')}`)
    }
    await betweenLooks()
  }
}

function readProc(): ProcessLine[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return []
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8')
      // The name of the program, in parentheses, may hold anything.
      const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      if (state === 'Z') return []
      const command = readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ').trim()
      return [{ pid: Number(name), parent: Number(parent), command }]
    } catch {
      // It ended between the two looks.
      return []
    }
  })
}
