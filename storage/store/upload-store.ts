import type { ContentRejected } from '../../content/verdict.ts'
import type { Lease } from '../../ledger/lease-keeper.ts'
import type { StoredParts } from '../../ledger/stored-parts.ts'
import type { UploadRow } from '../../ledger/uploads.ts'

/**
 * One request that brings bytes to an upload, as a store sees it: what it may write, and its only access to the ledger.
 * Every commit carries the fence of the lease and the former offset; after `LeaseLost` nothing was changed.
 */
export interface Append {
  /** As last read under the lease. Commits update it. */
  readonly upload: UploadRow
  readonly lease: Lease
  /** Position of the first byte: what `offsetOf` returned. */
  readonly offset: number
  /** The declared bytes of the request (Content-Length); undefined when it is chunked. */
  readonly bodyLength: number | undefined
  /** All of its bytes count, or none: they are compared with a digest first. */
  readonly isAtomic: boolean
  /** Whether the upload is complete when it has its bytes up to `to`. */
  endsAt(to: number): boolean
  /** To be called for all bytes that arrive, with the offset after them. */
  received(to: number): void
  /** Runs the final commit of the request in a turn of its owner. Must not be nested. */
  inOwnerTurn<Result>(work: () => Promise<Result>): Promise<Result>
  /** Bytes up to `to` are durable and the request goes on. Fails with `LeaseLost`. */
  checkpoint(to: number, storedParts?: StoredParts): Promise<void>
  /**
   * Bytes up to `to` are durable and the request ends; completes the upload when it has all bytes. Fails with
   * `LeaseLost`.
   */
  commit(to: number, storedParts?: StoredParts): Promise<void>
  /** Rejects the upload by a verdict on its bytes. Always throws: `error`, or `LeaseLost`. */
  rejectContent(error: ContentRejected): Promise<never>
  /** Rejects an upload whose acknowledged bytes are lost. Always throws: `UploadGone`, or `LeaseLost`. */
  rejectAsLost(): Promise<never>
}

/** Receives the bytes of uploads for one backend. See "Adding a third store" in docs/storage.md. */
export interface UploadStore {
  /**
   * Stores all of `source` after `append.offset`. Resolves with the new offset once the ledger has it. When the source
   * fails, bytes that arrived before are kept, unless the request is atomic, and the failure is thrown.
   */
  append(source: AsyncIterable<Uint8Array>, append: Append): Promise<number>
  /** How many of the bytes that the ledger counts are stored, for a row read under a lease. */
  offsetOf(row: UploadRow): Promise<number>
  /** Waits for background work. */
  close(): Promise<void>
}
