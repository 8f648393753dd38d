import { servedAs } from '../../content/served-as.ts'
import type { Ledger } from '../../ledger/database.ts'
import { DIRECT_LINK_SECONDS } from '../../ledger/direct-uploads.ts'
import type { Lease } from '../../ledger/lease-keeper.ts'
import { beginMultipart, forgetMultipart, recordMultipart } from '../../ledger/stored-parts.ts'
import type { UploadRow } from '../../ledger/uploads.ts'
import { BytesLost } from '../store/objects.ts'
import { LeaseLost } from '../store/outcomes.ts'
import type { S3 } from './s3.ts'
import { isGone, isInvalidPart, isMissing } from './s3-errors.ts'
import { formOf, inQuotes, type ListedPart, linkOfPart, partsOf, type StorageForm } from './s3-links.ts'

/** The whole file as the bucket has it. */
export type StoredWhole = { size: number; etag: string }

/** What the bucket has is not what the client says, or no file. It may send more and ask again. */
export class PartsMismatch extends Error {
  /** Numbers of the parts that are missing or others. */
  readonly partNumbers: readonly number[]

  constructor(message: string, partNumbers: readonly number[] = [], options?: ErrorOptions) {
    super(message, options)
    this.name = 'PartsMismatch'
    this.partNumbers = partNumbers
  }
}

const REPLACED = 'The file was replaced meanwhile.'
/** The largest object that one call copies. */
const MAX_FORM_BYTES = 5 * 1024 ** 3

/**
 * Bytes that clients send to the bucket themselves. A link can be used until it is over, whatever became of its upload: so
 * parts belong to a multipart upload, which takes none once it is complete, and a form puts another object, of which a
 * copy is made. What was checked can be replaced by nobody.
 */
export class DirectBytes {
  readonly #db: Ledger
  readonly #s3: S3

  constructor(db: Ledger, s3: S3) {
    this.#db = db
    this.#s3 = s3
  }

  /** Opens the multipart upload: the ledger notes it before, and gets its id after. Fails with `LeaseLost`. */
  async openParts(upload: UploadRow, { fence }: Lease, partSize: number): Promise<void> {
    const held = { id: upload.id, fence }
    const begun = await beginMultipart(this.#db, { ...held, partSize })
    if (!begun) throw new LeaseLost()
    const { id, isConfirmed } = await this.#s3.createMultipart(upload.storage_key, servedAs(null))
    const mayHaveStrays = begun.mayHaveStrays || !isConfirmed
    if (!(await recordMultipart(this.#db, { ...held, multipartId: id, mayHaveStrays }))) {
      await this.#s3.abortMultipart(upload.storage_key, id)
      throw new LeaseLost()
    }
    upload.multipart_id = id
    upload.part_size = partSize
  }

  /** A link for one part of this many bytes, or of any number. */
  async linkOfPart(upload: UploadRow, partNumber: number, size: number | undefined): Promise<string> {
    const part = { key: upload.storage_key, multipartId: multipartOf(upload), partNumber, size }
    return await linkOfPart(this.#s3, part, DIRECT_LINK_SECONDS)
  }

  /** A form for a whole file. */
  async formOf(key: string, minBytes: number, maxBytes: number): Promise<StorageForm> {
    const object = { key, minBytes, maxBytes: Math.min(maxBytes, MAX_FORM_BYTES) }
    return await formOf(this.#s3, object, DIRECT_LINK_SECONDS)
  }

  /** What the bucket has of it; nothing where it was completed or aborted. */
  async partsOf(upload: UploadRow): Promise<ListedPart[]> {
    return upload.multipart_id === null ? [] : ((await this.#openParts(upload)) ?? [])
  }

  /**
   * Joins the parts to the file. `chosen`: the etags that the client has, by number; all parts of the bucket by default.
   * `check` is called with the size before. Repeatable. Fails with `PartsMismatch`, and with `BytesLost` where the bucket
   * has neither parts nor file.
   */
  async joinParts(
    upload: UploadRow,
    chosen: ReadonlyMap<number, string> | undefined,
    check: (size: number) => void,
  ): Promise<StoredWhole> {
    const stored = upload.multipart_id === null ? undefined : await this.#openParts(upload)
    // Joined before, by an attempt that was interrupted.
    if (!stored) return await this.#whole(upload)
    const parts = chosen ? choose(stored, chosen) : stored
    if (parts.length === 0) throw new PartsMismatch('The bucket has no parts of this upload.')
    check(parts.reduce((sum, { size }) => sum + size, 0))
    await this.#s3
      .completeMultipart(upload.storage_key, multipartOf(upload), parts)
      .catch(async (error: unknown) => {
        if (isInvalidPart(error))
          throw new PartsMismatch('The parts were replaced meanwhile, or one is too small.', [], {
            cause: error,
          })
        // Without a reply it may have succeeded.
        if (!isGone(error) && (await this.#s3.isMultipartOpen(upload.storage_key, multipartOf(upload))))
          throw error
      })
    const whole = await this.#whole(upload)
    await forgetMultipart(this.#db, upload.id)
    upload.multipart_id = null
    return whole
  }

  /** Bytes that a form has put; undefined where it has not yet. */
  async formSize(key: string): Promise<number | undefined> {
    return (await this.#s3.head(key))?.size
  }

  /** Copies what a form has put to where the form cannot reach. Repeatable. Fails like `joinParts`. */
  async takeForm(upload: UploadRow, key: string, check: (size: number) => void): Promise<StoredWhole> {
    const put = await this.#s3.head(key)
    if (!put) throw new PartsMismatch('The bucket does not have the file yet.')
    check(put.size)
    await this.#s3
      .copyWhole({ key, etag: put.etag }, upload.storage_key, servedAs(null))
      .catch((error: unknown) => {
        throw isMissing(error) ? new PartsMismatch(REPLACED, [], { cause: error }) : error
      })
    const whole = await this.#whole(upload)
    if (whole.size !== put.size) throw new PartsMismatch(REPLACED)
    return whole
  }

  /** Its first bytes, at most so many. */
  async *head(upload: UploadRow, { size, etag }: StoredWhole, most: number): AsyncGenerator<Uint8Array> {
    if (size === 0) return
    const range = { start: 0, end: Math.min(size, most) - 1 }
    const { body } = await this.#s3.open(upload.storage_key, { range, etag })
    for await (const chunk of body) yield chunk as Uint8Array
  }

  async #openParts(upload: UploadRow): Promise<ListedPart[] | undefined> {
    try {
      return await partsOf(this.#s3, upload.storage_key, multipartOf(upload))
    } catch (error) {
      if (isGone(error)) return undefined
      throw error
    }
  }

  async #whole({ storage_key: key }: UploadRow): Promise<StoredWhole> {
    const head = await this.#s3.head(key)
    if (!head) throw new BytesLost('the multipart upload is gone')
    return head
  }
}

function multipartOf({ multipart_id: id }: UploadRow): string {
  if (id === null) throw new PartsMismatch('The parts of this upload were joined.')
  return id
}

/** The stored parts that a client names, in order. */
function choose(stored: readonly ListedPart[], chosen: ReadonlyMap<number, string>): ListedPart[] {
  const parts = stored.filter(({ partNumber, etag }) => inQuotes(chosen.get(partNumber) ?? '') === etag)
  if (parts.length === chosen.size) return parts
  const found = new Set(parts.map(({ partNumber }) => partNumber))
  const others = [...chosen.keys()].filter((number) => !found.has(number))
  throw new PartsMismatch('The bucket does not have these parts, or has others.', others)
}
