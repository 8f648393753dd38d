import { ContentRejected } from '../../content/verdict.ts'
import type { UploadRow } from '../../ledger/uploads.ts'
import { StorageFull } from '../store/objects.ts'
import { LeaseLost } from '../store/outcomes.ts'
import type { DiskSync } from '../store/upload-bytes.ts'
import type { Append, UploadStore } from '../store/upload-store.ts'
import type { DiskObjects } from './disk-objects.ts'
import type { DiskSpace } from './disk-space.ts'
import { FileWriter, Writers } from './file-writer.ts'

export type DiskUploadStoreOptions = {
  objects: Pick<DiskObjects, 'pathOf' | 'sizeOf'>
  space: Pick<DiskSpace, 'hasAny'>
  sync: DiskSync
}

/** During a long request the ledger learns of new bytes after this much data and time, whichever is later. */
const CHECKPOINT_BYTES = 8 * 1024 * 1024
const CHECKPOINT_MS = 500
/** Bytes are cut off only with a lease that lasts for longer: another holder may have appended by the time of a late cut. */
const CUT_OFF_MS = 5_000
/** While the length is deferred, nothing is reserved: each time after so much it is asked whether there is room for more. */
const UNDECLARED_BYTES = 8 * 1024 * 1024

/**
 * Uploads as files on a local disk, one each from its first byte on. Bytes are made durable before the ledger counts
 * them; what a client that goes away has sent is kept. Nothing of an upload is read from the disk but the size of its file.
 */
export class DiskUploadStore implements UploadStore {
  readonly #options: DiskUploadStoreOptions
  readonly #writers = new Writers()

  constructor(options: DiskUploadStoreOptions) {
    this.#options = options
  }

  /** What both ledger and file have. */
  async offsetOf(row: UploadRow): Promise<number> {
    const isPartial = row.state === 'open' && row.offset > 0
    if (!isPartial) return row.offset
    return Math.min(row.offset, (await this.#options.objects.sizeOf(row.storage_key)) ?? 0)
  }

  async append(source: AsyncIterable<Uint8Array>, append: Append): Promise<number> {
    const { lease, offset, upload } = append
    // A file made after another request has ended the upload would stay for ever.
    if (!lease.isCurrent()) throw new LeaseLost()
    const path = this.#options.objects.pathOf(upload.storage_key)
    const mayWrite = () => lease.isCurrent()
    const writer = await FileWriter.open(path, { offset, writers: this.#writers, mayWrite })
    try {
      const failure = await this.#receive(source, writer, append)
      return await append.inOwnerTurn(() => this.#record(writer, append, failure))
    } finally {
      await writer.close()
    }
  }

  async close(): Promise<void> {}

  /** Makes durable and tells the ledger what has arrived, where it counts. Passes on what the source failed with. */
  async #record(writer: FileWriter, append: Append, failure: unknown): Promise<number> {
    const { isAtomic, lease, upload } = append
    const { sync } = this.#options
    if (failure instanceof ContentRejected) return await append.rejectContent(failure)
    if (isAtomic && failure !== undefined) {
      // Bytes that do not count would take room until the next request, and be reserved as well. Nobody needs them gone.
      if (lease.isCurrent(CUT_OFF_MS)) await writer.cutOff(upload.offset).catch(() => {})
      throw failure
    }
    const complete = append.endsAt(writer.offset)
    await (sync === 'always' || (sync === 'finish' && complete) ? writer.sync() : writer.syncName())
    // With nothing new there is nothing to commit, unless an empty file is to be finished.
    if (writer.offset > upload.offset || complete) await append.commit(writer.offset)
    if (failure !== undefined) throw failure
    return writer.offset
  }

  /** Returns what the source failed with, or writing, or a checkpoint. */
  async #receive(source: AsyncIterable<Uint8Array>, writer: FileWriter, append: Append): Promise<unknown> {
    const { isAtomic, lease, offset, upload } = append
    let received = offset
    let failure: unknown
    let checkpoint: Promise<void> | undefined
    let checkpointAt = performance.now() + CHECKPOINT_MS
    let mayReach = upload.size === null ? offset : Number.POSITIVE_INFINITY
    // Beside the receiving of more, one at a time. What it fails with ends the request.
    const runCheckpoint = async () => {
      try {
        await this.#checkpoint(writer, append)
        checkpointAt = performance.now() + CHECKPOINT_MS
      } catch (error) {
        failure ??= error
      } finally {
        checkpoint = undefined
      }
    }
    try {
      for await (const chunk of source) {
        if (failure !== undefined) break
        if (!lease.isCurrent()) throw new LeaseLost()
        if (received + chunk.byteLength > mayReach) {
          if (!(await this.#options.space.hasAny())) throw new StorageFull()
          mayReach = received + UNDECLARED_BYTES
        }
        received += chunk.byteLength
        await writer.write(chunk)
        append.received(received)
        const uncommitted = writer.offset - upload.offset
        if (!isAtomic && uncommitted >= CHECKPOINT_BYTES && performance.now() >= checkpointAt)
          checkpoint ??= runCheckpoint()
      }
    } catch (error) {
      failure ??= error
    }
    try {
      // A client that went away has sent these bytes all the same.
      await writer.flush()
    } catch (error) {
      failure ??= error
    }
    // The commit that ends the request begins where this one ends.
    await checkpoint
    return failure
  }

  async #checkpoint(writer: FileWriter, append: Append): Promise<void> {
    const to = writer.offset
    // The last byte is committed by the append that finishes.
    if (append.endsAt(to)) return
    await (this.#options.sync === 'always' ? writer.sync() : writer.syncName())
    await append.checkpoint(to)
  }
}
