import type { ChildProcess } from 'node:child_process'
import { availableParallelism, getPriority } from 'node:os'
import { lowerPriority } from '../../system/low-priority.ts'

/** Address space of a tool. A decoder of a large picture with its threads takes a quarter of it. */
const MAX_ADDRESS_BYTES = 4 * 1024 ** 3

/**
 * Limits of a tool that has `timeoutMs`. Its processor time is limited to that on all cores, in case that nobody is
 * left to end it.
 */
export const toolLimits = (timeoutMs: number) => ({
  addressBytes: MAX_ADDRESS_BYTES,
  cpuSeconds: Math.ceil(timeoutMs / 1000) * availableParallelism(),
})

/** A tool that computes for minutes must not delay the heartbeat of its job. */
const NICER_THAN_US = 5
const MAX_NICE = 19

/**
 * The process groups of the running tools. A tool leads a group of its own, so that its children end with it; none
 * outlives this process, unless that is killed itself.
 */
export class ChildGroups {
  readonly #pids = new Set<number>()
  readonly #onExit = () => {
    for (const pid of this.#pids) killGroup(pid)
  }

  /** Adds a process that was started as the leader of a group, and lowers its priority. */
  add(child: Pick<ChildProcess, 'pid' | 'once'>): void {
    const { pid } = child
    // It could not be started; its promise fails.
    if (pid === undefined) return
    if (this.#pids.size === 0) process.on('exit', this.#onExit)
    this.#pids.add(pid)
    lowerPriority(pid, Math.min(MAX_NICE, getPriority() + NICER_THAN_US))
    child.once('exit', () => {
      killGroup(pid)
      this.#pids.delete(pid)
      if (this.#pids.size === 0) process.off('exit', this.#onExit)
    })
  }
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // It has ended already.
  }
}
