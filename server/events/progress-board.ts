import type { Bus, ProgressTick } from '../../ledger/bus.ts'
import { RecentMap } from '../../system/recent-map.ts'

export type Progress = {
  offset: number
  size: number | null
  /** 0–100; null while the size is unknown. */
  percent: number | null
  bytesPerSecond: number | null
  etaSeconds: number | null
}

type Entry = { offset: number; from: number; at: number; bytesPerSecond: number | null }

/** Weight of the newest measurement in the moving average. */
const SMOOTHING = 0.3
/** An older speed is not shown. */
const STALE_MS = 10_000
const MAX_ENTRIES = 10_000

/** Progress of the uploads of all nodes, as last published on the bus. Bounded: the oldest go first. */
export class ProgressBoard {
  readonly #entries = new RecentMap<string, Entry>(MAX_ENTRIES)
  readonly #unsubscribe: () => void

  constructor(bus: Bus) {
    this.#unsubscribe = bus.onMessage((message) => {
      if (message.t === 'progress') for (const tick of message.ticks) this.#note(tick)
    })
  }

  /** Progress of an upload: the latest of the bus and the ledger. */
  of(upload: { id: string; offset: number; size: number | null; state: string }): Progress {
    const entry = upload.state === 'open' ? this.#entries.get(upload.id) : undefined
    const isFresh = entry !== undefined && performance.now() - entry.at < STALE_MS
    return describeProgress(
      Math.max(upload.offset, isFresh ? entry.offset : 0),
      upload.size,
      isFresh ? entry.bytesPerSecond : null,
    )
  }

  close(): void {
    this.#unsubscribe()
  }

  #note([id, offset, , from]: ProgressTick): void {
    const now = performance.now()
    const before = this.#entries.get(id)
    // Nodes publish at their own pace: this is from an earlier request.
    if (before && from < before.from) return
    this.#entries.set(id, { offset, from, at: now, bytesPerSecond: speed(before, offset, now) })
  }
}

/** Progress at an offset, with the time that is left at this speed. */
export function describeProgress(
  offset: number,
  size: number | null,
  bytesPerSecond: number | null,
): Progress {
  const left = size === null ? null : size - offset
  return {
    offset,
    size,
    percent: size === null ? null : size === 0 ? 100 : Math.floor((offset / size) * 1000) / 10,
    bytesPerSecond: left === 0 ? null : bytesPerSecond,
    etaSeconds: left === 0 ? 0 : left === null || !bytesPerSecond ? null : Math.ceil(left / bytesPerSecond),
  }
}

/** Moving average in bytes per second; null before two measurements. */
function speed(before: Entry | undefined, offset: number, now: number): number | null {
  if (!before || now - before.at > STALE_MS || offset < before.offset) return null
  const seconds = (now - before.at) / 1000
  if (seconds === 0) return before.bytesPerSecond
  const latest = (offset - before.offset) / seconds
  const mean =
    before.bytesPerSecond === null
      ? latest
      : before.bytesPerSecond + SMOOTHING * (latest - before.bytesPerSecond)
  return Math.round(mean)
}
