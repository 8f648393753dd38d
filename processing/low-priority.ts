import { setPriority } from 'node:os'

/** Of a worker and its tools, where nothing else is configured. */
export const DEFAULT_NICE = 10

/** Has a process yield to others: by 0, not at all, to 19, which on a busy machine may leave it next to nothing. */
export function lowerPriority(pid: number, nice: number): void {
  try {
    setPriority(pid, nice)
  } catch {
    // It has ended already, or yields more than that and may not take it back.
  }
}
