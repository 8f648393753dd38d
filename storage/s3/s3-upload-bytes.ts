import { type ConcatSource, concatSources, forgetConcat } from '../../ledger/concatenation.ts'
import type { Ledger } from '../../ledger/database.ts'
import type { UploadId } from '../../ledger/ids.ts'
import {
  deleteTails,
  forgetDeletedTails,
  forgetMultipart,
  forgetPartsOfEnded,
  recordLateCall,
  type UploadInBucket,
  uploadInBucket,
} from '../../ledger/stored-parts.ts'
import { isCopyKey } from '../store/keys.ts'
import { BytesLost } from '../store/objects.ts'
import { partialsIn } from '../store/partials.ts'
import type { RoutedUploadBytes, UploadBytes } from '../store/upload-bytes.ts'
import type { S3 } from './s3.ts'
import { concatenate, type WholePartial } from './s3-concat.ts'
import { isGone, isInvalidPart } from './s3-errors.ts'
import { type StoredWhole as Head, storedWhole } from './stored-whole.ts'

/** Assembles and removes uploads in a bucket, by the records of the ledger. */
export class S3UploadBytes implements UploadBytes {
  readonly #db: Ledger
  readonly #s3: S3
  /** For uploads in any backend. */
  readonly #anywhere: RoutedUploadBytes

  constructor(db: Ledger, s3: S3, anywhere: RoutedUploadBytes) {
    this.#db = db
    this.#s3 = s3
    this.#anywhere = anywhere
  }

  async assemble(uploadId: UploadId): Promise<Head> {
    const upload = await uploadInBucket(this.#db, uploadId)
    if (!upload) throw new BytesLost('the upload is not in the ledger')
    const sources = await concatSources(this.#db, uploadId)
    if (sources.length > 0) return await this.#concatenate(uploadId, upload, sources)
    const { multipartId, size } = upload
    const head = multipartId === null ? await this.#whole(upload) : await this.#complete(upload, multipartId)
    if (head.size !== size)
      throw new BytesLost(`the object has ${head.size} bytes where ${size} were received`)
    await this.#abortStrays(upload)
    await this.#remove(upload.tailKeys)
    await this.#forget(uploadId, upload)
    return head
  }

  async discard(uploadId: UploadId): Promise<void> {
    const upload = await uploadInBucket(this.#db, uploadId)
    if (!upload) return
    const { storageKey, tailKeys, multipartId } = upload
    if (multipartId !== null) await this.#s3.abortMultipart(storageKey, multipartId)
    await this.#abortStrays(upload)
    await this.#remove([...tailKeys, storageKey])
    // A whole file may have been stored without a reply, and is not recorded.
    if (upload.offset !== upload.size) await recordLateCall(this.#db, uploadId, storageKey)
    await this.#forget(uploadId, upload)
    await forgetPartsOfEnded(this.#db, uploadId)
    await this.#releasePartials(uploadId)
  }

  async sweep(uploadId: UploadId): Promise<void> {
    const upload = await uploadInBucket(this.#db, uploadId)
    if (!upload) return
    // An open one may be opening another at this moment.
    if (upload.state !== 'open') await this.#abortStrays(upload)
    await this.#remove(upload.droppedKeys)
    await forgetDeletedTails(this.#db, uploadId, upload.droppedKeys)
  }

  /** Assembles each partial of a final upload, and joins them. */
  async #concatenate(
    uploadId: UploadId,
    upload: UploadInBucket,
    sources: readonly ConcatSource[],
  ): Promise<Head> {
    const { storageKey: key } = upload
    const size = upload.size ?? 0
    let head = await this.#s3.head(key)
    // An interrupted attempt may have completed it.
    if (head?.size !== size) {
      await this.#join(uploadId, { key, size }, sources).catch(async (error: unknown) => {
        // Another worker has joined it in the meantime, and its partials may be gone.
        if ((await concatSources(this.#db, uploadId)).length > 0) throw error
      })
      head = await this.#s3.head(key)
    }
    if (head?.size !== size) throw new Error(`the object has ${head?.size} bytes where ${size} were joined`)
    await this.#abortStrays({ ...upload, mayHaveStrays: true, multipartId: null })
    await this.#forget(uploadId, { ...upload, multipartId: 'any' })
    await this.#releasePartials(uploadId)
    return head
  }

  async #join(
    finalId: UploadId,
    final: { key: string; size: number },
    sources: readonly ConcatSource[],
  ): Promise<void> {
    const partials = new Map<UploadId, WholePartial>()
    const places = { db: this.#db, anywhere: this.#anywhere, finalId }
    const here = await partialsIn('s3', sources, places)
    for (const { id, size, storageKey: key } of here) {
      if (partials.has(id)) continue
      partials.set(id, { key, size, etag: size === 0 ? '' : (await this.assemble(id)).etag })
    }
    const inOrder = here.flatMap((source) => partials.get(source.id) ?? [])
    await concatenate(this.#s3, this.#db, { id: finalId, ...final }, inOrder)
  }

  /** An object that was stored in one call, or is complete already. */
  async #whole({ storageKey, parts }: UploadInBucket): Promise<Head> {
    const head = await storedWhole(this.#s3, storageKey)
    const [only, second] = parts
    // A multipart upload of one part has a special etag.
    const isOfParts = /-1"$/.test(head.etag)
    if (only && !second && !isOfParts && only.etag !== head.etag)
      throw new BytesLost('the object is another one')
    return head
  }

  async #complete(upload: UploadInBucket, multipartId: string): Promise<Head> {
    const { storageKey, parts, size } = upload
    // Assembled and recorded by another worker in the meantime: the object exists.
    if (parts.length === 0 && size !== 0) return await this.#whole(upload)
    const end = parts.reduce((at, part) => (part.offset === at ? at + part.size : Number.NaN), 0)
    if (end !== size) throw new BytesLost('the parts in the ledger are not the whole file')
    try {
      await this.#s3.completeMultipart(storageKey, multipartId, parts)
    } catch (error) {
      return await this.#afterFailure(error, storageKey, multipartId)
    }
    const head = await this.#s3.head(storageKey)
    if (!head) throw new Error('the bucket does not have the object that it completed')
    return head
  }

  /** An earlier attempt, or this one without a reply, may have succeeded: the object shows it. */
  async #afterFailure(error: unknown, key: string, multipartId: string): Promise<Head> {
    if (isInvalidPart(error)) throw new BytesLost('a part is another one', { cause: error })
    if (!isGone(error) && (await this.#s3.isMultipartOpen(key, multipartId))) throw error
    return await storedWhole(this.#s3, key)
  }

  /** Removes objects, and the unfinished rest of those that are copies. */
  async #remove(keys: readonly string[]): Promise<void> {
    for (const key of keys.filter(isCopyKey)) await this.#s3.abortMultiparts(key)
    await this.#s3.remove(keys)
  }

  /** Aborts multipart uploads of this key that are not in the ledger; looked up only where there may be any. */
  async #abortStrays({ storageKey, multipartId, mayHaveStrays }: UploadInBucket): Promise<void> {
    if (mayHaveStrays) await this.#s3.abortMultiparts(storageKey, multipartId)
  }

  /** Removes the bytes of ended partials, which removal jobs have left to the final. */
  async #releasePartials(finalId: UploadId): Promise<void> {
    for (const id of await forgetConcat(this.#db, finalId)) await this.#anywhere.discard(id)
  }

  async #forget(uploadId: UploadId, upload: UploadInBucket): Promise<void> {
    await deleteTails(this.#db, uploadId, upload.tailKeys)
    if (upload.multipartId !== null) await forgetMultipart(this.#db, uploadId)
  }
}
