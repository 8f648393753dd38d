import { S3Store } from '@tus/s3-store'
import { ERRORS, MemoryKvStore, type Upload } from '@tus/utils'
import { ContentRefused } from '../../content/verdict.ts'
import type { Ledger } from '../../ledger/database.ts'
import type { Lease } from '../../ledger/lease-keeper.ts'
import { ofOwner } from '../../ledger/owner-share.ts'
import { countingTails, dropTails, giveUpTails, type TailRow } from '../../ledger/pieces.ts'
import type { UploadRow } from '../../ledger/uploads.ts'
import { appendContext, requireLease } from '../store/append-context.ts'
import { type Commits, endsUpload, isComplete } from '../store/commits.ts'
import { BytesLost, type Objects } from '../store/objects.ts'
import { LeaseLost, UploadNotFound } from '../store/outcomes.ts'
import type { UploadBooks } from '../store/upload-books.ts'
import { BlockPool } from './block-pool.ts'
import { choosePartSize } from './part-size.ts'
import { clientConfig, type S3 } from './s3.ts'
import { S3Append } from './s3-append.ts'

export type S3LedgerStoreOptions = {
  s3: S3
  objects: Objects
  db: Ledger
  books: UploadBooks
  commits: Commits
  /** Bytes of the largest upload. */
  maxSize: number
  onError: (error: unknown) => void
}

/**
 * tus data store in a bucket. It is the package's `S3Store` with everything in it replaced that asks the bucket
 * for what the ledger knows, or that can lose bytes:
 *
 * - offset, metadata, parts and etags live in the ledger; there is no `.info` object, and no listing, HEAD or
 *   GET around a request's bytes;
 * - `write` sends parts from memory under one budget, never through files, and acknowledges only what has no
 *   gap before it: the package adds up the sizes of whatever parts arrived;
 * - the upload is completed by its processing, from the ledger's etags, and checked; the package completes it
 *   in the last request and calls it complete even where that fails;
 * - `remove` ends the upload in the ledger; `deleteExpired`, which lists the bucket and ends other
 *   applications' uploads, is off.
 */
export class S3LedgerStore extends S3Store {
  readonly #options: S3LedgerStoreOptions
  readonly #pool: BlockPool
  readonly #background = new Set<Promise<void>>()

  constructor(options: S3LedgerStoreOptions) {
    super({
      s3ClientConfig: { ...clientConfig(options.s3.options), bucket: options.s3.bucket },
      cache: new MemoryKvStore(),
    })
    // One client for one bucket.
    this.client.destroy()
    this.client = options.s3.client
    this.#options = options
    this.#pool = new BlockPool(options.s3.options.memoryBudget)
  }

  /** The upload's row exists already; an empty file is complete as soon as it is created. */
  override async create(upload: Upload): Promise<Upload> {
    const row = this.#options.books.created(upload)
    if (endsUpload(row, 0)) await this.#append(nothing(), 0)
    return upload
  }

  override async getUpload(id: string): Promise<Upload> {
    const { books } = this.#options
    const row = await books.find(id)
    return books.describe(row, await this.offsetOf(row))
  }

  /** What is acknowledged is in the bucket. */
  async offsetOf(row: UploadRow): Promise<number> {
    return row.offset
  }

  override async declareUploadLength(_id: string, size: number): Promise<void> {
    await this.#options.books.declareLength(size)
  }

  /**
   * Appends a request's body. Resolves with the new offset once the ledger has it; when the source
   * fails, what arrived before is kept and the failure passed on.
   */
  override async write(source: AsyncIterable<Uint8Array>, _id: string, offset: number): Promise<number> {
    return await this.#append(source, offset)
  }

  override async remove(id: string): Promise<void> {
    await this.#options.books.terminate(id)
  }

  override async deleteExpired(): Promise<number> {
    throw new Error('expiry is decided by the ledger')
  }

  /** Waits for what goes on behind the requests. The bucket is closed by who opened it. */
  async close(): Promise<void> {
    await Promise.all(this.#background)
  }

  async #append(source: AsyncIterable<Uint8Array>, offset: number): Promise<number> {
    const { upload, bodyLength, isAtomic, onReceived, inTurn } = appendContext()
    if (!upload) throw new UploadNotFound()
    // The last PATCH repeated: there is nothing to add and nothing to finish twice.
    if (isComplete(upload)) {
      for await (const _ of source) throw ERRORS.ERR_SIZE_EXCEEDED
      return offset
    }
    const lease = requireLease()
    if (!lease.isCurrent()) throw new LeaseLost()
    const partSize = Number(upload.part_size ?? this.#choosePartSize(upload, bodyLength))
    try {
      const tails = await this.#tailsOf(upload, partSize)
      const append = new S3Append(
        {
          ...this.#options,
          db: ofOwner(this.#options.db, upload.owner_id),
          pool: this.#pool,
          dropTails: (row, keys) => this.#dropTails(row, keys),
          giveUpTails: (row, held, keys) => this.#giveUpTails(row, held, keys),
        },
        {
          upload,
          lease,
          partSize,
          tails,
          isAtomic,
          endsUpload: (to) => endsUpload(upload, to),
          onReceived,
          inTurn,
        },
      )
      return await append.run(source)
    } catch (error) {
      if (error instanceof ContentRefused)
        return await inTurn(() => this.#options.commits.refuse(upload, lease, error))
      if (!(error instanceof BytesLost)) throw error
      this.#options.onError(error)
      return await inTurn(() => this.#options.commits.lose(upload, lease))
    }
  }

  #choosePartSize(upload: UploadRow, bodyLength: number | undefined): number {
    return choosePartSize({
      bodyLength,
      size: upload.size ?? this.#options.maxSize,
      isSizeKnown: upload.size !== null,
      share: this.#pool.fairShare,
    })
  }

  /** The tails that make up the part in which the offset lies, in order and without a gap. */
  async #tailsOf(upload: UploadRow, partSize: number): Promise<TailRow[]> {
    const from = upload.offset - (upload.offset % partSize)
    const tails: TailRow[] = []
    if (upload.offset === from) return tails
    let at = from
    for (const tail of await countingTails(ofOwner(this.#options.db, upload.owner_id), upload.id, from)) {
      // Of several from one offset the longest is first: it was joined from the others.
      if (tail.offset !== at) continue
      tails.push(tail)
      at += tail.size
    }
    if (at !== upload.offset) throw new BytesLost('the tails of the upload do not reach its offset')
    return tails
  }

  #dropTails(upload: UploadRow, keys: readonly string[]): void {
    const { db, s3 } = this.#options
    if (keys.length === 0) return
    this.#behind(async () => {
      await s3.remove(keys)
      await dropTails(db, upload.id, keys)
    })
  }

  #giveUpTails(upload: UploadRow, { fence }: Lease, keys: readonly string[]): void {
    const { db, s3 } = this.#options
    this.#behind(async () => s3.remove(await giveUpTails(db, { id: upload.id, fence }, keys)))
  }

  /** Goes on behind the request. What fails, the upload's end removes: the ledger still has the keys. */
  #behind(work: () => Promise<void>): void {
    const done = work()
      .catch(this.#options.onError)
      .finally(() => this.#background.delete(done))
    this.#background.add(done)
  }
}

async function* nothing(): AsyncGenerator<Uint8Array> {}
