import { setPriority } from 'node:os'

/** Has a process yield to others: by 0, not at all, to 19, which on a busy machine may leave it next to nothing. */
export function lowerPriority(pid: number, nice: number): void {
  try {
    setPriority(pid, nice)
  } catch {
    // It has ended already, or yields more than that and may not take it back.
  }
}
