import { AsyncLocalStorage } from 'node:async_hooks'
import type { OwnerId } from '../../ledger/ids.ts'
import type { Lease } from '../../ledger/lease-keeper.ts'
import type { UploadRow } from '../../ledger/uploads.ts'

/**
 * Who appends, and under which lease. `@tus/server` hands a store nothing but an upload id; owner
 * and fence must belong to the very request that writes, so they travel with its async context.
 */
export type AppendContext = {
  readonly ownerId: OwnerId
  /** For the log. */
  readonly requestId: string
  /** Aborted when the request is answered or its client has left. */
  readonly over: AbortSignal
  /** Bytes the request says its body has (Content-Length); undefined when it comes in chunks. */
  readonly bodyLength: number | undefined
  /** Whether it brings bytes to an upload that is there. */
  readonly isAppend: boolean
  /** All of its bytes count, or none: they are to be compared with a digest first. */
  readonly isAtomic: boolean
  /** Whether the upload is complete once it has all of its bytes; else its client says so by a later request. */
  readonly completes: boolean
  /** Told that the request waits for another one to give up the lease, which may take seconds. */
  readonly onLeaseWait: () => void
  /** Records what has arrived, when it is the turn of the request's owner. Not to be called from within `work`. */
  readonly inTurn: <Result>(work: () => Promise<Result>) => Promise<Result>
  lease: Lease | undefined
  /** The upload as last read under the lease, or as just created. */
  upload: UploadRow | undefined
  /** The offset behind the last byte that has arrived, where the store has seen one. */
  arrivedTo?: number
  /** Told of every byte that arrives: offset so far, and size (null while deferred). */
  readonly onReceived: (offset: number, size: number | null) => void
  /** Told of bytes that the ledger has, while the request goes on. */
  readonly onCommitted: ((offset: number) => void) | undefined
}

const storage = new AsyncLocalStorage<AppendContext>()

/** Runs `work` on behalf of one request. */
export const withAppendContext = <T>(context: AppendContext, work: () => T): T => storage.run(context, work)

/** The context of the running request; calling a store outside of one is a bug. */
export function appendContext(): AppendContext {
  const context = storage.getStore()
  if (!context) throw new Error('a store was called outside a request')
  return context
}

/** The lease of the running request, which must hold one. */
export function requireLease(): Lease {
  const { lease } = appendContext()
  if (!lease) throw new Error('a store was called without a lease')
  return lease
}
