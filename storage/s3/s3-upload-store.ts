import { ContentRejected } from '../../content/verdict.ts'
import type { Ledger } from '../../ledger/database.ts'
import type { Lease } from '../../ledger/lease-keeper.ts'
import { withOwnerShare } from '../../ledger/owner-share.ts'
import { abandonTails, countingTails, deleteTails, type TailRow } from '../../ledger/stored-parts.ts'
import type { UploadRow } from '../../ledger/uploads.ts'
import { BytesLost, type Objects } from '../store/objects.ts'
import { LeaseLost } from '../store/outcomes.ts'
import type { Append, UploadStore } from '../store/upload-store.ts'
import { BlockPool } from './block-pool.ts'
import { choosePartSize } from './part-size.ts'
import type { S3 } from './s3.ts'
import { S3Append } from './s3-append.ts'

export type S3UploadStoreOptions = {
  s3: S3
  objects: Objects
  db: Ledger
  /** Bytes of the largest upload. */
  maxSize: number
  onError: (error: unknown) => void
}

/**
 * Uploads in a bucket. Parts are sent from memory under one budget, never through files, and a request causes no
 * listing, HEAD or GET: offset, parts and etags are in the ledger. Acknowledged bytes have no gap before them.
 * Processing completes the upload by the ledger's etags, and checks it.
 */
export class S3UploadStore implements UploadStore {
  readonly #options: S3UploadStoreOptions
  readonly #pool: BlockPool
  readonly #background = new Set<Promise<void>>()

  constructor(options: S3UploadStoreOptions) {
    this.#options = options
    this.#pool = new BlockPool(options.s3.options.memoryBudget)
  }

  /** Acknowledged bytes are in the bucket. */
  async offsetOf(row: UploadRow): Promise<number> {
    return row.offset
  }

  async append(source: AsyncIterable<Uint8Array>, append: Append): Promise<number> {
    const { bodyLength, lease, upload } = append
    if (!lease.isCurrent()) throw new LeaseLost()
    const partSize = Number(upload.part_size ?? this.#choosePartSize(upload, bodyLength))
    try {
      const tails = await this.#tailsOf(upload, partSize)
      const running = new S3Append(
        {
          ...this.#options,
          db: withOwnerShare(this.#options.db, upload.owner_id),
          pool: this.#pool,
          deleteTails: (row, keys) => this.#deleteTails(row, keys),
          abandonTails: (row, held, keys) => this.#abandonTails(row, held, keys),
        },
        { append, partSize, tails },
      )
      return await running.run(source)
    } catch (error) {
      if (error instanceof ContentRejected) return await append.inOwnerTurn(() => append.rejectContent(error))
      if (!(error instanceof BytesLost)) throw error
      this.#options.onError(error)
      return await append.inOwnerTurn(() => append.rejectAsLost())
    }
  }

  /** Waits for background work. The bucket is closed by its opener. */
  async close(): Promise<void> {
    await Promise.all(this.#background)
  }

  #choosePartSize(upload: UploadRow, bodyLength: number | undefined): number {
    return choosePartSize({
      bodyLength,
      size: upload.size ?? this.#options.maxSize,
      isSizeKnown: upload.size !== null,
      share: this.#pool.fairShare,
    })
  }

  /** The tails of the part in which the offset lies, in order and without a gap. */
  async #tailsOf(upload: UploadRow, partSize: number): Promise<TailRow[]> {
    const from = upload.offset - (upload.offset % partSize)
    const tails: TailRow[] = []
    if (upload.offset === from) return tails
    let at = from
    for (const tail of await countingTails(
      withOwnerShare(this.#options.db, upload.owner_id),
      upload.id,
      from,
    )) {
      // Of several from one offset the longest is first: it was joined from the others.
      if (tail.offset !== at) continue
      tails.push(tail)
      at += tail.size
    }
    if (at !== upload.offset) throw new BytesLost('the tails of the upload do not reach its offset')
    return tails
  }

  #deleteTails(upload: UploadRow, keys: readonly string[]): void {
    const { db, s3 } = this.#options
    if (keys.length === 0) return
    this.#behind(async () => {
      await s3.remove(keys)
      await deleteTails(db, upload.id, keys)
    })
  }

  #abandonTails(upload: UploadRow, { fence }: Lease, keys: readonly string[]): void {
    const { db, s3 } = this.#options
    this.#behind(async () => s3.remove(await abandonTails(db, { id: upload.id, fence }, keys)))
  }

  /** Runs in the background. After a failure the end of the upload removes them: the ledger still has the keys. */
  #behind(work: () => Promise<void>): void {
    const done = work()
      .catch(this.#options.onError)
      .finally(() => this.#background.delete(done))
    this.#background.add(done)
  }
}
