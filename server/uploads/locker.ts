import type { Lock, Locker, RequestRelease } from '@tus/utils'
import { parseUploadId } from '../../ledger/ids.ts'
import type { LeaseKeeper } from '../../ledger/lease-keeper.ts'
import { type AppendContext, appendContext } from '../../storage/store/append-context.ts'
import { UploadNotFound } from '../../storage/store/outcomes.ts'
import { Problem } from '../http/errors.ts'

/** Longest wait for a holder that does not let go. */
const WAIT_MS = 15_000

/** The ledger's leases as the locker that `@tus/server` expects. */
export class LeaseLocker implements Locker {
  readonly #leases: LeaseKeeper

  constructor(leases: LeaseKeeper) {
    this.#leases = leases
  }

  newLock(id: string): Lock {
    return new LeaseLock(this.#leases, id)
  }
}

class LeaseLock implements Lock {
  readonly #leases: LeaseKeeper
  readonly #id: string

  constructor(leases: LeaseKeeper, id: string) {
    this.#leases = leases
    this.#id = id
  }

  async lock(signal: AbortSignal, cancel: RequestRelease): Promise<void> {
    const uploadId = parseUploadId(this.#id)
    if (!uploadId) throw new UploadNotFound()
    const context = appendContext()
    if (onlyCreates(context)) return
    const taken = await this.#leases.take({
      uploadId,
      ownerId: context.ownerId,
      waitMs: WAIT_MS,
      signal,
      over: context.over,
      onWait: context.onLeaseWait,
      onWanted: cancel,
    })
    switch (taken) {
      case 'absent':
        throw new UploadNotFound()
      case 'busy':
      case 'aborted':
        throw new Problem('locked', 'Another request is still writing to this upload.', {
          headers: { 'Retry-After': '1' },
        })
      default:
        context.lease = taken
    }
  }

  async unlock(): Promise<void> {
    const { lease } = appendContext()
    if (lease) await this.#leases.release(lease)
  }
}

/**
 * A creation without bytes writes nothing after its row, so there is nothing to guard; an empty file is
 * complete at once and must be. Only a creation knows its upload before it asks for the lease.
 */
function onlyCreates({ upload, bodyLength }: AppendContext): boolean {
  return upload !== undefined && bodyLength === 0 && upload.size !== 0
}
