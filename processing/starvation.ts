import type { WorkerLog } from './failures/worker-log.ts'

const LOOK_MS = 5_000
/** A timer that is this late shows that the process gets almost no processor time. */
const LATE_MS = 5_000
const QUIET_MS = 10 * 60_000

/**
 * Warns, at most every ten minutes, when this process gets too little processor time. Returns the function that stops
 * it.
 */
export function watchStarvation(log: Pick<WorkerLog, 'warn'>): () => void {
  let due = performance.now() + LOOK_MS
  let quietUntil = 0
  const timer = setInterval(() => {
    const now = performance.now()
    const lateMs = now - due
    due = now + LOOK_MS
    if (lateMs < LATE_MS || now < quietUntil) return
    quietUntil = now + QUIET_MS
    log.warn(
      { lateMs: Math.round(lateMs) },
      'the worker gets too little processor time: processing falls behind (see WORKER_NICE)',
    )
  }, LOOK_MS).unref()
  return () => clearInterval(timer)
}
