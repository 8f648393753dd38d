import { servedAsBy } from '../../content/identification.ts'
import { servedAs } from '../../content/served-as.ts'
import type { Ledger } from '../../ledger/database.ts'
import { newUploadId } from '../../ledger/ids.ts'
import {
  beginMultipart,
  type PartRow,
  recordMultipart,
  recordTail,
  type TailRow,
} from '../../ledger/stored-parts.ts'
import { BytesLost, ObjectMissing, type Objects } from '../store/objects.ts'
import { LeaseLost } from '../store/outcomes.ts'
import type { Append } from '../store/upload-store.ts'
import { BLOCK_BYTES, type BlockPool } from './block-pool.ts'
import { PartBuffer } from './part-buffer.ts'
import type { S3 } from './s3.ts'
import { asStorageUnavailable, isGone } from './s3-errors.ts'

export type S3WriterOptions = { s3: S3; objects: Objects; pool: BlockPool; db: Ledger }

/** Stored bytes for the ledger to record, and the keys of tails that are not needed after that. */
export type Stored = { superseded: readonly string[] } & ({ part: PartRow } | { tail: TailRow })
/** Bytes of the current part that are, or are being, stored as a tail. */
export type Tail = { offset: number; size: number; row: Promise<TailRow> }

/**
 * Stores the parts and tails of one request in the bucket, each noted in the ledger before a call that may arrive late. What
 * is stored counts only once the caller has committed it.
 */
export class S3Writer {
  readonly #options: S3WriterOptions
  readonly #append: Append
  readonly #partSize: number
  readonly #signal: AbortSignal
  readonly #opened = Promise.withResolvers<string>()
  /** Keys of tails that are not committed yet. */
  readonly unconfirmed = new Set<string>()
  /** Resolves when the ledger has the id of the multipart upload. A commit waits for it. */
  recorded: Promise<void> = Promise.resolve()

  /** `signal` ends calls that are on their way. */
  constructor(options: S3WriterOptions, append: Append, partSize: number, signal: AbortSignal) {
    this.#options = options
    this.#append = append
    this.#partSize = partSize
    this.#signal = signal
    this.#opened.promise.catch(() => {})
    if (append.upload.multipart_id !== null) this.#opened.resolve(append.upload.multipart_id)
  }

  /** Resolves with the id of the multipart upload once it is open. */
  get opened(): Promise<string> {
    return this.#opened.promise
  }

  /** Stores a part of the file: these tails, and what follows them, which ends at offset `to`. */
  async storePart(
    partNumber: number,
    tails: readonly Tail[],
    body: PartBuffer,
    from: number,
    to: number,
  ): Promise<Stored> {
    const { upload } = this.#append
    try {
      return await this.#withJoined(tails, body, from, async (whole, superseded) => {
        const isWholeFile = partNumber === 1 && to === upload.size && upload.multipart_id === null
        const etag = isWholeFile ? await this.#storeWhole(whole) : await this.#uploadPart(partNumber, whole)
        return { part: { partNumber, offset: to - whole.size, size: whole.size, etag }, superseded }
      })
    } catch (error) {
      if (partNumber === 1) this.#opened.reject(error)
      throw error
    }
  }

  /** A file that fits one part is a single object from the start. */
  async #storeWhole(body: PartBuffer): Promise<string> {
    const { s3 } = this.#options
    const { upload } = this.#append
    const as = await servedAsBy(body.head)
    this.#checkLease()
    return (await s3.put(upload.storage_key, body, as, this.#signal)).etag
  }

  async #uploadPart(partNumber: number, body: PartBuffer): Promise<string> {
    const { s3 } = this.#options
    const { upload } = this.#append
    if (partNumber === 1 && upload.multipart_id === null) await this.#open(body.head)
    const multipartId = await this.#opened.promise
    this.#checkLease()
    try {
      return await s3.uploadPart(upload.storage_key, multipartId, partNumber, body, this.#signal)
    } catch (error) {
      // A single reply may come from a proxy that does not know it.
      if (!isGone(error) || (await s3.isMultipartOpen(upload.storage_key, multipartId)))
        throw asStorageUnavailable(error)
      throw new BytesLost('the multipart upload is gone', { cause: error })
    }
  }

  /** Opens the multipart upload: the ledger notes it before, and gets its id after. */
  async #open(head: Uint8Array): Promise<void> {
    const { db, s3 } = this.#options
    const { upload, lease } = this.#append
    const partSize = this.#partSize
    const held = { id: upload.id, fence: lease.fence }
    const begun = await beginMultipart(db, { ...held, partSize })
    if (!begun) throw new LeaseLost()
    const { id, isConfirmed } = await s3.createMultipart(upload.storage_key, await servedAsBy(head))
    const mayHaveStrays = begun.mayHaveStrays || !isConfirmed
    const record = async () => {
      if (await recordMultipart(db, { ...held, multipartId: id, mayHaveStrays })) return
      await s3.abortMultipart(upload.storage_key, id)
      throw new LeaseLost()
    }
    // In parallel with the first part: only the commit waits for this.
    this.recorded = record()
    this.recorded.catch(() => {})
    upload.multipart_id = id
    this.#opened.resolve(id)
  }

  async #storeTail(body: PartBuffer, offset: number): Promise<TailRow> {
    const { db, s3 } = this.#options
    const { upload, lease } = this.#append
    const partSize = this.#partSize
    // A new key each time: a late call of ours overwrites nothing.
    const key = `${upload.storage_key}.tail-${newUploadId()}`
    const tail = { key, offset, size: body.size }
    if (!(await recordTail(db, { id: upload.id, fence: lease.fence, partSize, ...tail })))
      throw new LeaseLost()
    this.unconfirmed.add(key)
    this.#checkLease()
    return { ...tail, ...(await s3.put(key, body, servedAs(null), this.#signal)) }
  }

  /** Stores what these tails and the buffer, which begins at `from`, hold as one tail at `offset`. */
  async storeJoinedTail(
    tails: readonly Tail[],
    body: PartBuffer,
    from: number,
    offset: number,
  ): Promise<Stored & { tail: TailRow }> {
    return await this.#withJoined(tails, body, from, async (joined, superseded) => ({
      tail: await this.#storeTail(joined, offset),
      superseded,
    }))
  }

  /** Calls `use` with these tails and the buffer joined, and the keys of the tails. */
  async #withJoined<Result>(
    tails: readonly Tail[],
    body: PartBuffer,
    from: number,
    use: (joined: PartBuffer, superseded: readonly string[]) => Promise<Result>,
  ): Promise<Result> {
    if (tails.length === 0) return await use(body, [])
    const { pool } = this.#options
    const rows = await Promise.all(tails.map((tail) => tail.row))
    const bytes = rows.reduce((sum, row) => sum + row.size, body.size)
    const count = Math.ceil(bytes / BLOCK_BYTES)
    let blocks = pool.takeNow(count)
    if (!blocks) {
      // A request that waits for many blocks must hold none, to avoid deadlocks.
      if (body.size > 0) {
        rows.push(await this.#storeTail(body, from))
        pool.give(body.release())
      }
      blocks = await pool.take(count)
    }
    const joined = new PartBuffer()
    for (const block of blocks) joined.addBlock(block)
    try {
      for (const row of rows) await this.#load(row, joined)
      for (const chunk of body.chunks()) joined.append(chunk)
      return await use(
        joined,
        rows.map(({ key }) => key),
      )
    } finally {
      pool.give(joined.release())
    }
  }

  async #load(row: TailRow, into: PartBuffer): Promise<void> {
    const before = into.size
    try {
      for await (const chunk of await this.#options.objects.read(row.key, { etag: row.etag }))
        into.append(chunk)
    } catch (error) {
      if (!(error instanceof ObjectMissing)) throw error
      throw isGone(error.cause)
        ? new BytesLost('a tail is gone', { cause: error })
        : asStorageUnavailable(error)
    }
    if (into.size - before !== row.size) throw new BytesLost('a tail has another size')
  }

  #checkLease(): void {
    if (!this.#append.lease.isCurrent()) throw new LeaseLost()
  }
}
