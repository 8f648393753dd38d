import { AsyncLocalStorage } from 'node:async_hooks'
import { DataStore, type Lock, type Locker, type RequestRelease, Upload } from '@tus/utils'
import type { BodyLimits } from '../body.ts'
import type { UploadEngine } from '../engine.ts'
import { type Held, rowOf } from '../held.ts'

export type PackageAnswer = { status: number; headers: Record<string, string> }

/** One request while `@tus/server` handles it. */
export type Running = {
  readonly held: Held
  readonly address: string
  /** Whether the upload is read for an append. */
  readonly isAppend: boolean
  /** Whether it creates an upload without bytes. */
  readonly onlyCreates: boolean
  /** Called for the package's handlers. */
  readonly create: () => Promise<void>
  readonly receive: (offset: number, limits: BodyLimits) => Promise<number>
  /** The package's answer, unless it is in the response that its handler returns. */
  answer: PackageAnswer | undefined
}

/** The package passes only an id to its store, its locker and its hooks: the rest is found here, and only here. */
const storage = new AsyncLocalStorage<Running>()

export const runThrough = <Result>(running: Running, work: () => Promise<Result>): Promise<Result> =>
  storage.run(running, work)

/** The current request. A call outside of one is a bug. */
export function running(): Running {
  const found = storage.getStore()
  if (!found) throw new Error('the package called outside a request')
  return found
}

/** The engine as the data store that `@tus/server` expects. */
export class PackageStore extends DataStore {
  readonly #engine: UploadEngine

  constructor(engine: UploadEngine) {
    super()
    this.#engine = engine
    this.extensions = ['creation', 'creation-with-upload', 'creation-defer-length', 'termination']
  }

  /** The row exists already; an empty file is complete at once. */
  override async create(upload: Upload): Promise<Upload> {
    const { held } = running()
    if (rowOf(held).size === 0) await this.#engine.complete(held)
    return undated(upload)
  }

  override async getUpload(id: string): Promise<Upload> {
    const { held, isAppend } = running()
    const { size, metadata } = await this.#engine.look(held, isAppend ? 'append' : 'read')
    return undated(new Upload({ id, size: size ?? undefined, offset: held.offset, metadata }))
  }

  override async declareUploadLength(_id: string, size: number): Promise<void> {
    const { held } = running()
    await this.#engine.declareLength(held, size, held.offset)
  }

  override async remove(): Promise<void> {
    await this.#engine.cancel(running().held)
  }

  override async deleteExpired(): Promise<number> {
    throw new Error('expiry is decided by the ledger')
  }
}

/** Without a date the package's handlers leave expiry to the ledger. */
function undated(upload: Upload): Upload {
  upload.creation_date = undefined
  return upload
}

/** The ledger's leases as the locker that `@tus/server` expects. */
export class PackageLocker implements Locker {
  readonly #engine: UploadEngine

  constructor(engine: UploadEngine) {
    this.#engine = engine
  }

  newLock(): Lock {
    const engine = this.#engine
    return {
      async lock(signal: AbortSignal, cancel: RequestRelease) {
        const { held, onlyCreates } = running()
        // A creation needs no lease; but an empty file is completed at once, which needs one.
        if (onlyCreates && held.upload?.size !== 0) return
        await engine.take(held, signal, cancel)
        // It was created before the lease was taken: it may have ended meanwhile.
        if (held.upload) await engine.look(held, 'append')
      },
      unlock: async () => await engine.release(running().held),
    }
  }
}
