const LOOK_MS = 5_000
/** A timer that comes this late says that the process gets next to nothing. */
const LATE_MS = 5_000
const QUIET_MS = 10 * 60_000

/** Warns, once in ten minutes, when this process gets too little processor time to work. Returns what stops that. */
export function watchStarvation(log: { warn(details: object, message: string): void }): () => void {
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
