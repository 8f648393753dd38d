import { createHash } from 'node:crypto'
import type { Readable } from 'node:stream'
import { ObjectMissing, type Objects, type ReadOptions, type ServedAs } from '../objects.ts'
import { isMissing } from './errors.ts'
import { ObjectRead } from './object-read.ts'
import type { S3 } from './s3.ts'

/** Objects in one bucket. */
export class S3Objects implements Objects {
  readonly backend = 's3'
  readonly #s3: S3

  constructor(s3: S3) {
    this.#s3 = s3
  }

  /** The stream goes on by itself when a connection breaks; see `ObjectRead`. */
  async read(key: string, options: ReadOptions = {}): Promise<Readable> {
    return new ObjectRead(this.#s3, key, await this.#s3.open(key, options))
  }

  async sizeOf(key: string): Promise<number | undefined> {
    return (await this.#s3.head(key))?.size
  }

  async put(key: string, bytes: Uint8Array, servedAs: ServedAs): Promise<void> {
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    await this.#s3.put(key, { size: bytes.byteLength, sha256, chunks: () => [bytes] }, servedAs)
  }

  async copy(from: string, to: string, servedAs: ServedAs, etag: string | null = null): Promise<void> {
    try {
      await this.#s3.copy(from, to, servedAs, etag)
    } catch (error) {
      // Removed or replaced between the look at it and the copy.
      throw isMissing(error) ? new ObjectMissing(from, { cause: error }) : error
    }
  }

  async remove(key: string): Promise<void> {
    await this.#s3.remove([key])
  }

  async removeCopy(key: string): Promise<void> {
    for (const id of await this.#s3.openMultiparts(key)) await this.#s3.abortMultipart(key, id)
    await this.remove(key)
  }

  async toolInput(key: string): Promise<string> {
    return await this.#s3.link(key)
  }

  async link(key: string, servedAs: ServedAs, method: 'GET' | 'HEAD' = 'GET'): Promise<string> {
    return await this.#s3.link(key, servedAs, method)
  }

  /** That the bucket answers us; that it takes objects is found out by storing some. */
  async checkWritable(): Promise<void> {
    await this.#s3.checkReachable()
  }
}
