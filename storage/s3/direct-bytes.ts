import { addAbortSignal } from 'node:stream'
import { servedAs } from '../../content/served-as.ts'
import type { Ledger } from '../../ledger/database.ts'
import { adoptCopy, recordCopy } from '../../ledger/direct-uploads.ts'
import type { Lease } from '../../ledger/lease-keeper.ts'
import { beginMultipart, forgetMultipart, recordMultipart } from '../../ledger/stored-parts.ts'
import type { UploadRow } from '../../ledger/uploads.ts'
import { newCopyKey } from '../store/keys.ts'
import { ObjectMissing, StorageUnavailable } from '../store/objects.ts'
import { LeaseLost } from '../store/outcomes.ts'
import type { S3 } from './s3.ts'
import { copyInBucket } from './s3-copy.ts'
import { asStorageUnavailable, isGone, isInvalidPart, translateMissing } from './s3-errors.ts'
import { formOf, inQuotes, type ListedPart, linkOfPart, partsOf, type StorageForm } from './s3-links.ts'
import { type StoredWhole, storedWhole } from './stored-whole.ts'

export type { StoredWhole } from './stored-whole.ts'

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

/** The largest object that a form puts. */
const MAX_FORM_BYTES = 5 * 1024 ** 3

/** Limit of the time in which the first bytes are read. */
const HEAD_MS = 60_000

/** One completion. `check` is called with the size before anything is done. */
type Completion = { lease: Lease; check: (size: number) => void; signal?: AbortSignal | undefined }

/**
 * Bytes that clients send to the bucket themselves. A link can be used until it is over, whatever became of its upload: so
 * parts belong to a multipart upload, which takes none once it is complete, and a form puts another object, of which
 * copies are made. Each copy has a key of its own, and one of them becomes the file: what was checked can be replaced by
 * nobody, not even by a call of ours that comes late.
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
    if (!(await beginMultipart(this.#db, { ...held, partSize }))) throw new LeaseLost()
    const { id } = await this.#s3.createMultipart(upload.storage_key, servedAs(null))
    // A part that is under way when it is aborted can stay: it is aborted once more, as others of its key.
    if (!(await recordMultipart(this.#db, { ...held, multipartId: id, mayHaveStrays: true }))) {
      await this.#s3.abortMultipart(upload.storage_key, id)
      throw new LeaseLost()
    }
    upload.multipart_id = id
    upload.part_size = partSize
  }

  /** A link for one part of this many bytes, or of any number, for so many seconds. */
  async linkOfPart(
    upload: UploadRow,
    part: { partNumber: number; size: number | undefined },
    seconds: number,
  ): Promise<string> {
    return await linkOfPart(
      this.#s3,
      { ...part, key: upload.storage_key, multipartId: multipartOf(upload) },
      seconds,
    )
  }

  /** A form for a whole file, for so many seconds. */
  async formOf(
    key: string,
    { minBytes, maxBytes }: { minBytes: number; maxBytes: number },
    seconds: number,
  ): Promise<StorageForm> {
    return await formOf(this.#s3, { key, minBytes, maxBytes: Math.min(maxBytes, MAX_FORM_BYTES) }, seconds)
  }

  /** What the bucket has of it; undefined where it was joined or aborted. */
  async partsOf(upload: UploadRow, signal?: AbortSignal): Promise<ListedPart[] | undefined> {
    return upload.multipart_id === null ? undefined : await this.#openParts(upload, signal)
  }

  /**
   * Joins the parts to the file. `chosen`: the etags that the client has, by number; all parts of the bucket by default.
   * Repeatable. Fails with `PartsMismatch`, and with `BytesLost` where the bucket has neither parts nor file.
   */
  async joinParts(
    upload: UploadRow,
    chosen: ReadonlyMap<number, string> | undefined,
    { check, signal }: Completion,
  ): Promise<StoredWhole> {
    const stored = upload.multipart_id === null ? undefined : await this.#openParts(upload, signal)
    // Joined before, by an attempt that was interrupted.
    if (!stored) return await storedWhole(this.#s3, upload.storage_key)
    const parts = chosen ? choose(stored, chosen) : stored
    if (parts.length === 0) throw new PartsMismatch('The bucket has no parts of this upload.')
    if (!chosen) checkGaps(parts)
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
          throw asStorageUnavailable(error)
      })
    const whole = await this.#s3.head(upload.storage_key)
    // It was there a moment ago, also where a proxy says otherwise.
    if (!whole) throw new StorageUnavailable({ cause: new Error('what was joined is not there yet') })
    await forgetMultipart(this.#db, upload.id)
    upload.multipart_id = null
    return whole
  }

  /** Whether there is nothing at a key, as the bucket itself says. */
  async lacks(key: string, signal?: AbortSignal): Promise<boolean> {
    return await this.#s3.lacks(key, signal)
  }

  /**
   * Copies what a form has put, and makes the copy the file of the upload, where that still has the lease. Repeatable.
   * Fails with `PartsMismatch` and `LeaseLost`.
   */
  async takeForm(
    upload: UploadRow,
    form: string,
    { lease, check, signal }: Completion,
  ): Promise<StoredWhole> {
    const put = await this.#s3.head(form, signal)
    if (!put) throw new PartsMismatch('The bucket does not have the file yet.')
    check(put.size)
    const held = { id: upload.id, fence: lease.fence, key: newCopyKey(form) }
    // Whatever becomes of the copy, its key is known.
    const givenUp = await recordCopy(this.#db, held)
    if (!givenUp || !lease.isCurrent()) throw new LeaseLost()
    for (const key of givenUp) await this.#s3.abortMultiparts(key)
    await this.#s3.remove(givenUp)
    try {
      await copyInBucket(this.#s3, form, held.key, servedAs(null), put.etag, signal)
    } catch (error) {
      const translated = translateMissing(error, form)
      if (translated instanceof ObjectMissing)
        throw new PartsMismatch('The file was replaced meanwhile.', [], { cause: error })
      throw translated
    }
    const whole = await this.#s3.head(held.key, signal)
    if (whole?.size !== put.size)
      throw new StorageUnavailable({ cause: new Error('the copy is not there yet') })
    if (!(await adoptCopy(this.#db, held))) throw new LeaseLost()
    upload.storage_key = held.key
    return whole
  }

  /** Its first bytes, at most so many. Fails with `StorageUnavailable` where they take longer than a minute. */
  async *head(
    upload: UploadRow,
    { size, etag }: StoredWhole,
    { most, signal }: { most: number; signal: AbortSignal },
  ): AsyncGenerator<Uint8Array> {
    if (size === 0) return
    const range = { start: 0, end: Math.min(size, most) - 1 }
    const late = AbortSignal.timeout(HEAD_MS)
    try {
      const ended = AbortSignal.any([signal, late])
      const { body } = await this.#s3.open(upload.storage_key, { range, etag }, ended)
      for await (const chunk of addAbortSignal(ended, body)) yield chunk as Uint8Array
    } catch (error) {
      throw late.aborted ? new StorageUnavailable({ cause: error }) : asStorageUnavailable(error)
    }
  }

  /** Undefined where the bucket itself says that it has no such multipart upload. */
  async #openParts(upload: UploadRow, signal?: AbortSignal): Promise<ListedPart[] | undefined> {
    try {
      return await partsOf(this.#s3, upload.storage_key, multipartOf(upload), signal)
    } catch (error) {
      if (isGone(error)) return undefined
      throw asStorageUnavailable(error)
    }
  }
}

function multipartOf({ multipart_id: id }: UploadRow): string {
  if (id === null) throw new PartsMismatch('The parts of this upload were joined.')
  return id
}

/** Fails where a part is missing between others: a client that names none has to have sent all. */
function checkGaps(parts: readonly ListedPart[]): void {
  const missing = parts.flatMap(({ partNumber }, index) => {
    const before = index === 0 ? 0 : (parts[index - 1]?.partNumber ?? 0)
    return Array.from({ length: partNumber - before - 1 }, (_, step) => before + 1 + step)
  })
  if (missing.length > 0)
    throw new PartsMismatch('The bucket does not have these parts yet.', missing.slice(0, MAX_TOLD))
}

/** Part numbers in one answer. */
const MAX_TOLD = 100

/** The stored parts that a client names, in order. */
function choose(stored: readonly ListedPart[], chosen: ReadonlyMap<number, string>): ListedPart[] {
  const parts = stored.filter(({ partNumber, etag }) => inQuotes(chosen.get(partNumber) ?? '') === etag)
  if (parts.length === chosen.size) return parts
  const found = new Set(parts.map(({ partNumber }) => partNumber))
  const others = [...chosen.keys()].filter((number) => !found.has(number))
  throw new PartsMismatch('The bucket does not have these parts, or has others.', others)
}
