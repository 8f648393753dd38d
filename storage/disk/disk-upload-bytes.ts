import { type ConcatSource, concatSources, forgetConcat } from '../../ledger/concatenation.ts'
import type { Ledger } from '../../ledger/database.ts'
import type { UploadId } from '../../ledger/ids.ts'
import { uploadInBucket } from '../../ledger/stored-parts.ts'
import { BytesLost } from '../store/objects.ts'
import { partialsIn } from '../store/partials.ts'
import type { RoutedUploadBytes, UploadBytes } from '../store/upload-bytes.ts'
import type { DiskObjects } from './disk-objects.ts'

/** On disk an upload is one file from its first byte on. */
export class DiskUploadBytes implements UploadBytes {
  readonly #db: Ledger
  readonly #objects: DiskObjects
  /** For uploads in any backend. */
  readonly #anywhere: RoutedUploadBytes

  constructor(db: Ledger, objects: DiskObjects, anywhere: RoutedUploadBytes) {
    this.#db = db
    this.#objects = objects
    this.#anywhere = anywhere
  }

  async assemble(uploadId: UploadId): Promise<{ size: number; etag: null }> {
    const upload = await uploadInBucket(this.#db, uploadId)
    if (!upload) throw new BytesLost('the upload is not in the ledger')
    const { storageKey } = upload
    const sources = await concatSources(this.#db, uploadId)
    // A complete file may exist already, of an interrupted attempt.
    if (sources.length > 0 && (await this.#objects.sizeOf(storageKey)) !== upload.size)
      await this.#join(uploadId, sources, storageKey)
    const size = await this.#objects.sizeOf(storageKey)
    if (size === undefined) throw new BytesLost('the file is gone')
    if (sources.length > 0) await this.#objects.forgetJoins(storageKey)
    await this.#releasePartials(uploadId)
    return { size, etag: null }
  }

  async discard(uploadId: UploadId): Promise<void> {
    const upload = await uploadInBucket(this.#db, uploadId)
    if (!upload) return
    await this.#objects.remove(upload.storageKey)
    await this.#objects.forgetJoins(upload.storageKey)
    await this.#releasePartials(uploadId)
  }

  /** Joins the partials of a final upload (tus 1.0 § concatenation) in a file of its own. */
  async #join(uploadId: UploadId, sources: readonly ConcatSource[], storageKey: string): Promise<void> {
    try {
      const places = { db: this.#db, anywhere: this.#anywhere, finalId: uploadId }
      const here = await partialsIn('disk', sources, places)
      const parts = here.filter(({ size }) => size > 0)
      for (const { size, storageKey: key } of parts) {
        if (((await this.#objects.sizeOf(key)) ?? 0) < size)
          throw new BytesLost('a partial upload is not all there')
      }
      await this.#objects.join(
        parts.map(({ size, storageKey: key }) => ({ key, size })),
        storageKey,
      )
    } catch (error) {
      // Another worker has joined it in the meantime, and its partials may be gone.
      if ((await concatSources(this.#db, uploadId)).length > 0) throw error
    }
  }

  /** Removes the bytes of ended partials, which removal jobs have left to the final. */
  async #releasePartials(finalId: UploadId): Promise<void> {
    for (const id of await forgetConcat(this.#db, finalId)) await this.#anywhere.discard(id)
  }

  /** On disk nothing arrives late. */
  async sweep(): Promise<void> {}
}
