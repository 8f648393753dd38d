import type { ContentRejected } from '../../content/verdict.ts'
import type { Lease } from '../../ledger/lease-keeper.ts'
import type { StoredParts } from '../../ledger/stored-parts.ts'
import type { UploadRow } from '../../ledger/uploads.ts'

/**
 * One request that brings bytes to an upload, as a store sees it: what it may write, and its only way to the ledger.
 * Every commit carries the fence of the lease and the offset that the upload had; after `LeaseLost` nothing was changed.
 */
export interface Append {
  /** As last read under the lease. Every commit brings it up to date. */
  readonly upload: UploadRow
  readonly lease: Lease
  /** Where the first byte goes: what `offsetOf` said. */
  readonly offset: number
  /** Bytes that the request says it has (Content-Length); undefined when they come in chunks. */
  readonly bodyLength: number | undefined
  /** All of its bytes count, or none: they are to be compared with a digest first. */
  readonly isAtomic: boolean
  /** Whether the upload is complete when it has its bytes up to `to`. */
  endsAt(to: number): boolean
  /** Told of every byte that arrives, by the offset behind it. */
  received(to: number): void
  /** Does what ends the request in the ledger, when it is the turn of its owner. Not to be called from within `work`. */
  inOwnerTurn<Result>(work: () => Promise<Result>): Promise<Result>
  /** Bytes up to `to` are durable and the request goes on. Fails with `LeaseLost`. */
  checkpoint(to: number, storedParts?: StoredParts): Promise<void>
  /** Bytes up to `to` are durable and the request ends; completes the upload when that is all of it. Fails with `LeaseLost`. */
  commit(to: number, storedParts?: StoredParts): Promise<void>
  /** Ends the upload by a verdict on what has arrived: always throws, `error` unless the lease was lost. */
  rejectContent(error: ContentRejected): Promise<never>
  /** Ends an upload whose acknowledged bytes are lost: always throws, `UploadGone` unless the lease was lost. */
  rejectAsLost(): Promise<never>
}

/** Where the bytes of uploads arrive, in one backend. See "Adding a store" in docs/storage.md. */
export interface UploadStore {
  /**
   * Stores all of `source` behind `append.offset`. Resolves with the new offset once the ledger has it. When the source
   * fails, what arrived before is kept, unless all or nothing counts, and the failure passed on.
   */
  append(source: AsyncIterable<Uint8Array>, append: Append): Promise<number>
  /** Up to where the bytes are there that the ledger counts, of a row read under a lease. */
  offsetOf(row: UploadRow): Promise<number>
  /** Waits for what goes on behind the requests. */
  close(): Promise<void>
}
