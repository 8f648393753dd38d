import { writeFile } from 'node:fs'
import { constants, setPriority } from 'node:os'

/**
 * Has a process that was started a moment ago yield to all others. It must lead a session of its own: Linux gives every
 * session the same share of the processor as a rule (sched(7), "The autogroup feature"), and what is nice in one is
 * nice to that one only.
 */
export function lowerPriority(pid: number): void {
  const priority = constants.priority.PRIORITY_LOW
  try {
    setPriority(pid, priority)
  } catch {
    // It has ended already.
  }
  // Where there is no such thing, the priority of the process is what counts.
  if (process.platform === 'linux') writeFile(`/proc/${pid}/autogroup`, String(priority), () => {})
}
