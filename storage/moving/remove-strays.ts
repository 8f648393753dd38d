import type { Ledger } from '../../ledger/database.ts'
import type { UploadId } from '../../ledger/ids.ts'
import type { Backend } from '../../ledger/storage-places.ts'
import {
  forgetServed,
  forgetStray,
  holdStrays,
  postponeStray,
  releaseStrayHold,
  renewStray,
  type StrayCopy,
} from '../../ledger/stray-copies.ts'
import { inParallel } from '../../system/in-parallel.ts'
import { inTime } from '../../system/in-time.ts'
import { type Objects, StorageUnavailable } from '../store/objects.ts'
import type { Backends } from '../store/upload-bytes.ts'

export type StrayOptions = {
  db: Ledger
  storage: Pick<Backends, 'objectsOf'>
  /** Called once per pass and backend with what could not be removed: it is tried again later. */
  onFailure: (failure: StrayFailure) => void
}

/** `uploads`: how many failed; `error`: the first failure. */
export type StrayFailure = { backend: Backend; uploads: number; error: unknown }

const BACKENDS: readonly Backend[] = ['disk', 's3']
const AT_ONCE = 4
/** After this long the rest is left to the next pass. */
const PASS_MS = 60_000
/** Time limit for the copies of one upload; beyond it the backend counts as unavailable. */
const STRAY_MS = 60_000
/** Time limit for the health check of a backend. */
const ANSWER_MS = 10_000
/** How long an unavailable backend is left alone. */
const AWAY_MS = 30_000

/** Removes stray copies. One per process: it remembers which backend is unavailable. */
export class StrayRemover {
  readonly #options: StrayOptions
  readonly #awayUntil = new Map<Backend, number>()
  #pass: Promise<number> | undefined

  constructor(options: StrayOptions) {
    this.#options = options
  }

  /**
   * Removes due copies, for a minute at most; waits for a running pass instead of starting another. Returns the number
   * of uploads. After an abort it finishes what it has begun.
   */
  async removeDue(signal: AbortSignal): Promise<number> {
    this.#pass ??= this.#removeDue(signal).finally(() => {
      this.#pass = undefined
    })
    return await this.#pass
  }

  /** Removes all copies of an ended upload that are not held; or with `only` the copies under one key. */
  async removeOf(uploadId: UploadId, only: string | undefined, signal: AbortSignal): Promise<void> {
    await Promise.all(BACKENDS.map((backend) => this.#removeFrom({ backend, uploadId, only, signal })))
  }

  async #removeDue(signal: AbortSignal): Promise<number> {
    const counts = await Promise.all(BACKENDS.map((backend) => this.#removeFrom({ backend, signal })))
    await forgetServed(this.#options.db)
    return counts.reduce((sum, count) => sum + count, 0)
  }

  async #removeFrom({ backend, uploadId, only, signal }: Task): Promise<number> {
    const { db, onFailure } = this.#options
    const until = performance.now() + PASS_MS
    const failures: unknown[] = []
    let objects: Objects | undefined
    let removed = 0
    while (!signal.aborted && performance.now() < until && !this.#isLeftAlone(backend)) {
      const strays = await holdStrays(db, { backend, limit: AT_ONCE, uploadId })
      if (strays.length === 0) break
      try {
        objects ??= await inTime(this.#reach(backend), ANSWER_MS, silent(ANSWER_MS))
      } catch (error) {
        this.#leaveAlone(backend)
        failures.push(error)
        for (const stray of strays) await releaseStrayHold(db, stray)
        break
      }
      const place = objects
      await inParallel(strays, AT_ONCE, async (stray) => {
        try {
          if (await this.#remove(stray, place, only, signal)) removed += 1
        } catch (error) {
          if (error instanceof StorageUnavailable) this.#leaveAlone(backend)
          failures.push(error)
          await postponeStray(db, stray)
        }
      })
      if (uploadId !== undefined) break
    }
    if (failures.length > 0) onFailure({ backend, uploads: failures.length, error: failures[0] })
    return removed
  }

  /** Returns whether they are removed: false where another process holds them, or after an abort. */
  async #remove(
    stray: StrayCopy,
    objects: Objects,
    only: string | undefined,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { db } = this.#options
    const wanted = only === undefined ? stray.keys : stray.keys.filter((key) => key === only)
    let isLate = false
    const work = async () => {
      for (const keys of stray.isBegun ? wanted.map((key) => [key]) : [wanted]) {
        if (isLate) return false
        if (signal.aborted) {
          await releaseStrayHold(db, stray)
          return false
        }
        if (!(await renewStray(db, stray))) return false
        // A copy that was made part by part may have left parts.
        if (stray.isBegun) for (const key of keys) await objects.removeCopy(key)
        else await objects.removeMany(keys)
      }
      if (isLate) return false
      if (wanted.length === stray.keys.length) await forgetStray(db, stray)
      else await releaseStrayHold(db, stray, wanted)
      return true
    }
    try {
      return await inTime(work(), STRAY_MS, silent(STRAY_MS))
    } finally {
      isLate = true
    }
  }

  async #reach(backend: Backend): Promise<Objects> {
    const objects = await this.#options.storage.objectsOf({ storage_backend: backend })
    await objects.checkWritable()
    return objects
  }

  #isLeftAlone(backend: Backend): boolean {
    return performance.now() < (this.#awayUntil.get(backend) ?? 0)
  }

  #leaveAlone(backend: Backend): void {
    this.#awayUntil.set(backend, performance.now() + AWAY_MS)
  }
}

type Task = { backend: Backend; uploadId?: UploadId; only?: string | undefined; signal: AbortSignal }

/** Fails with `StorageUnavailable`. */
const silent = (ms: number) => (): never => {
  throw new StorageUnavailable({ cause: new Error(`it did not answer within ${ms / 1000} s`) })
}
