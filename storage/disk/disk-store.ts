import { FileStore } from '@tus/file-store'
import { ERRORS, type Upload } from '@tus/utils'
import { ContentRefused } from '../../content/verdict.ts'
import type { Lease } from '../../ledger/lease-keeper.ts'
import type { UploadRow } from '../../ledger/uploads.ts'
import { appendContext, requireLease } from '../store/append-context.ts'
import { type Commits, endsUpload, isComplete } from '../store/commits.ts'
import { StorageFull } from '../store/objects.ts'
import { LeaseLost, UploadNotFound } from '../store/outcomes.ts'
import { isTooLong, type UploadBooks } from '../store/upload-books.ts'
import type { DiskSync } from '../store/upload-bytes.ts'
import type { DiskObjects } from './disk-objects.ts'
import { type DiskSpace, NO_ROOM } from './disk-space.ts'
import { FileWriter } from './file-writer.ts'

export type DiskStoreOptions = {
  books: UploadBooks
  commits: Commits
  objects: DiskObjects
  space: DiskSpace
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
 * tus data store on a local disk. It is the package's `FileStore` with what is unsafe in it replaced:
 *
 * - offset, size and metadata live in the ledger, not in a JSON file that a crash can tear; the offset
 *   is what both ledger and file have, never what only the file has;
 * - `create` touches no file, so that it cannot empty an existing one;
 * - `write` makes bytes durable before it acknowledges them, keeps what arrived when the client goes
 *   away, commits under the request's fence, and finishes the upload in the ledger;
 * - `remove` ends the upload in the ledger; `deleteExpired`, which deletes completed uploads, is off.
 */
export class DiskStore extends FileStore {
  readonly #options: DiskStoreOptions

  constructor(options: DiskStoreOptions) {
    super({
      directory: options.objects.directory,
      configstore: { get: async () => undefined, set: async () => {}, delete: async () => {} },
    })
    this.#options = options
  }

  /** The upload's row exists already; an empty file is complete as soon as it is created. */
  override async create(upload: Upload): Promise<Upload> {
    const row = this.#options.books.created(upload)
    if (endsUpload(row, 0)) await this.write(nothing(), upload.id, 0)
    return upload
  }

  override async getUpload(id: string): Promise<Upload> {
    const { books } = this.#options
    const row = await books.find(id)
    return books.describe(row, await this.offsetOf(row))
  }

  /** What both ledger and file have. */
  async offsetOf(row: UploadRow): Promise<number> {
    const isPartial = row.state === 'open' && row.offset > 0
    if (!isPartial) return row.offset
    return Math.min(row.offset, (await this.#options.objects.sizeOf(row.storage_key)) ?? 0)
  }

  /** Fails with `StorageFull` where there is no room for what is still to come. */
  override async declareUploadLength(_id: string, size: number): Promise<void> {
    const { books, space } = this.#options
    const { arrivedTo, upload } = appendContext()
    const toCome = Math.max(0, size - (arrivedTo ?? upload?.offset ?? 0))
    const declare = async () => await books.declareLength(size)
    const result = await space.enter(async (claim) => (claim(toCome) ? await declare() : NO_ROOM))
    if (result === NO_ROOM) throw new StorageFull()
  }

  /**
   * Appends a request's body. Resolves with the new offset once the ledger has it; when the source
   * fails, what arrived before is kept and the failure passed on.
   */
  override async write(source: AsyncIterable<Uint8Array>, _id: string, offset: number): Promise<number> {
    const context = appendContext()
    const { upload } = context
    if (!upload) throw new UploadNotFound()
    // The last PATCH repeated: there is nothing to add and nothing to finish twice.
    if (isComplete(upload)) {
      for await (const _ of source) throw ERRORS.ERR_SIZE_EXCEEDED
      return offset
    }
    const lease = requireLease()
    // A file made after another request has ended the upload would stay for ever.
    if (!lease.isCurrent()) throw new LeaseLost()
    const { objects } = this.#options
    const writer = await FileWriter.open(objects.pathOf(upload.storage_key), offset)
    try {
      const { failure, received } = await this.#receive(source, writer, upload, lease, offset)
      context.onReceived(received, upload.size)
      return await context.inTurn(() => this.#record(writer, upload, lease, failure))
    } finally {
      await writer.close()
    }
  }

  /** Makes durable and tells the ledger what has arrived, where it counts. Passes on what the source failed with. */
  async #record(writer: FileWriter, upload: UploadRow, lease: Lease, failure: unknown): Promise<number> {
    const { commits, sync } = this.#options
    if (failure instanceof ContentRefused) return await commits.refuse(upload, lease, failure)
    // More than was declared: finishing with the first part of it would call a wrong file complete.
    if (isTooLong(failure) || (appendContext().isAtomic && failure !== undefined)) {
      // Bytes that do not count would take room until the next request, and be reserved as well. Nobody needs them gone.
      if (lease.isCurrent(CUT_OFF_MS)) await writer.cutOff(upload.offset).catch(() => {})
      throw failure
    }
    const complete = endsUpload(upload, writer.written)
    if (sync === 'always' || (sync === 'finish' && complete)) await writer.sync()
    // With nothing new there is nothing to commit, unless an empty file is to be finished.
    if (writer.written > upload.offset || complete) await commits.lastAppend(upload, lease, writer.written)
    if (failure !== undefined) throw failure
    return writer.written
  }

  override async remove(id: string): Promise<void> {
    await this.#options.books.terminate(id)
  }

  override async deleteExpired(): Promise<number> {
    throw new Error('expiry is decided by the ledger')
  }

  async #receive(
    source: AsyncIterable<Uint8Array>,
    writer: FileWriter,
    upload: UploadRow,
    lease: Lease,
    offset: number,
  ) {
    const context = appendContext()
    const { isAtomic, onReceived } = context
    const mayWrite = () => lease.isCurrent()
    let received = offset
    let failure: unknown
    let checkpointAt = performance.now() + CHECKPOINT_MS
    let mayReach = upload.size === null ? offset : Number.POSITIVE_INFINITY
    try {
      for await (const chunk of source) {
        if (!mayWrite()) throw new LeaseLost()
        if (received + chunk.byteLength > mayReach) {
          if (!(await this.#options.space.hasAny())) throw new StorageFull()
          mayReach = received + UNDECLARED_BYTES
        }
        received += chunk.byteLength
        context.arrivedTo = received
        await writer.write(chunk, mayWrite)
        onReceived(received, upload.size)
        const uncommitted = writer.written - upload.offset
        if (!isAtomic && uncommitted >= CHECKPOINT_BYTES && performance.now() >= checkpointAt) {
          await this.#checkpoint(writer, upload, lease)
          checkpointAt = performance.now() + CHECKPOINT_MS
        }
      }
    } catch (error) {
      failure = error
    }
    try {
      // A client that went away has sent these bytes all the same.
      await writer.flush(mayWrite)
    } catch (error) {
      failure ??= error
    }
    return { failure, received }
  }

  async #checkpoint(writer: FileWriter, upload: UploadRow, lease: Lease): Promise<void> {
    // The last byte is committed by the append that finishes.
    if (endsUpload(upload, writer.written)) return
    if (this.#options.sync === 'always') await writer.sync()
    await this.#options.commits.checkpoint(upload, lease, writer.written)
  }
}

async function* nothing(): AsyncGenerator<Uint8Array> {}
