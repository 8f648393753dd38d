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
import { type Objects, StorageUnavailable } from '../store/objects.ts'
import type { Backends } from '../store/upload-bytes.ts'

export type StrayOptions = {
  db: Ledger
  storage: Pick<Backends, 'objectsOf'>
  /** Told once of each pass and backend of what could not be removed: it is tried again in a while. */
  onFailure: (failure: StrayFailure) => void
}

/** `uploads`: for how many it failed; `error`: of the first of them. */
export type StrayFailure = { backend: Backend; uploads: number; error: unknown }

const BACKENDS: readonly Backend[] = ['disk', 's3']
const AT_ONCE = 4
/** A pass that has taken so long leaves the rest to the next one: others wait for their turn. */
const PASS_MS = 60_000
/** How long the copies of one upload may take, unless a backend is to be taken for away. */
const STRAY_MS = 60_000
/** How long a backend may take to say that it is there. */
const ANSWER_MS = 10_000
/** How long one that did not is left alone. */
const AWAY_MS = 30_000

/** Removes copies that nobody serves any more. One for a process: it remembers which backend is away. */
export class StrayRemover {
  readonly #options: StrayOptions
  readonly #awayUntil = new Map<Backend, number>()
  #pass: Promise<number> | undefined

  constructor(options: StrayOptions) {
    this.#options = options
  }

  /**
   * Removes those whose time has come, for a minute at most; where another pass is under way, that is waited for
   * instead. Returns of how many uploads they were. After an abort it finishes what it has begun, and no more.
   */
  async removeDue(signal: AbortSignal): Promise<number> {
    this.#pass ??= this.#removeDue(signal).finally(() => {
      this.#pass = undefined
    })
    return await this.#pass
  }

  /**
   * Removes all of one upload that has ended and that nobody else holds. Or the copies under one key only: the others
   * wait for their time.
   */
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
        objects ??= await inTime(ANSWER_MS, this.#reach(backend))
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

  /** Returns whether they are removed: not where somebody else holds them, or after an abort. */
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
        // Copies that were made a part at a time may have left parts.
        if (stray.isBegun) for (const key of keys) await objects.removeCopy(key)
        else await objects.removeMany(keys)
      }
      if (isLate) return false
      if (wanted.length === stray.keys.length) await forgetStray(db, stray)
      else await releaseStrayHold(db, stray, wanted)
      return true
    }
    try {
      return await inTime(STRAY_MS, work())
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

/** Fails with `StorageUnavailable` when it takes longer. Whatever becomes of the work then, nobody waits for it. */
async function inTime<Result>(ms: number, work: Promise<Result>): Promise<Result> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const error = new StorageUnavailable({ cause: new Error(`it did not answer within ${ms / 1000} s`) })
  const timer = setTimeout(() => reject(error), ms)
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
