import { setPriority } from 'node:os'

/** Lowers the priority of a process: by 0, not at all, to 19, which on a busy machine may leave it almost nothing. */
export function lowerPriority(pid: number, nice: number): void {
  try {
    setPriority(pid, nice)
  } catch {
    // It has ended, or has a lower priority already and may not raise it.
  }
}
