import type { Ledger } from '../../ledger/database.ts'
import { ownersOfUploads } from '../../ledger/events.ts'
import type { OwnerId } from '../../ledger/ids.ts'

const MAX_KNOWN = 50_000

/** The owners of uploads in bus messages, which never change: each is looked up once. Bounded: the oldest go first. */
export class UploadOwners {
  readonly #db: Ledger
  readonly #known = new Map<string, OwnerId>()

  constructor(db: Ledger) {
    this.#db = db
  }

  /** Undefined before it was looked up. */
  of(uploadId: string): OwnerId | undefined {
    return this.#known.get(uploadId)
  }

  async learn(uploadIds: readonly string[]): Promise<void> {
    for (const [id, ownerId] of await ownersOfUploads(this.#db, uploadIds)) this.#known.set(id, ownerId)
    for (const id of this.#known.keys()) {
      if (this.#known.size <= MAX_KNOWN) break
      this.#known.delete(id)
    }
  }
}
