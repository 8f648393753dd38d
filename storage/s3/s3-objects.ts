import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { ServedAs } from '../../content/served-as.ts'
import {
  type LinkOptions,
  type Objects,
  ObjectTooLarge,
  type ReadOptions,
  type StreamedBody,
} from '../store/objects.ts'
import { ObjectRead } from './object-read.ts'
import type { S3 } from './s3.ts'
import { bodyOf } from './s3-body.ts'
import { copyInBucket } from './s3-copy.ts'
import { translateMissing } from './s3-errors.ts'
import { putStream } from './stream-put.ts'

/** S3's limit for one PutObject. */
const MAX_PUT_BYTES = 5 * 1024 ** 3

/** Objects in one bucket. */
export class S3Objects implements Objects {
  readonly backend = 's3'
  readonly #s3: S3

  constructor(s3: S3) {
    this.#s3 = s3
  }

  /** The stream survives broken connections; see `ObjectRead`. */
  async read(key: string, options: ReadOptions = {}): Promise<Readable> {
    return new ObjectRead(this.#s3, key, await this.#s3.open(key, options))
  }

  async sizeOf(key: string): Promise<number | undefined> {
    return (await this.#s3.head(key))?.size
  }

  async put(key: string, bytes: Uint8Array, servedAs: ServedAs): Promise<void> {
    await this.#s3.put(key, bodyOf(bytes), servedAs)
  }

  async putFile(key: string, path: string, servedAs: ServedAs, signal?: AbortSignal): Promise<void> {
    const { size } = await stat(path)
    if (size > MAX_PUT_BYTES) throw new ObjectTooLarge(size, MAX_PUT_BYTES)
    // Read twice, so that the bucket can check the hash of what arrives.
    const sha256 = createHash('sha256')
    await pipeline(readFile(path), sha256, { signal })
    const body = { size, sha256: sha256.digest('hex'), chunks: () => readFile(path) }
    await this.#s3.put(key, body, servedAs, signal)
  }

  async putStream(key: string, body: StreamedBody, servedAs: ServedAs, signal: AbortSignal): Promise<string> {
    return await putStream(this.#s3, key, body, servedAs, signal)
  }

  async copy(from: string, to: string, servedAs: ServedAs, etag: string | null = null): Promise<void> {
    try {
      await copyInBucket(this.#s3, from, to, servedAs, etag)
    } catch (error) {
      // Removed or replaced since it was looked up.
      throw translateMissing(error, from)
    }
  }

  async remove(key: string): Promise<void> {
    await this.#s3.remove([key])
  }

  async removeMany(keys: readonly string[]): Promise<void> {
    await this.#s3.remove(keys)
  }

  async removeCopy(key: string): Promise<void> {
    await this.#s3.abortMultiparts(key)
    await this.remove(key)
  }

  async toolInput(key: string): Promise<string> {
    return await this.#s3.link(key)
  }

  async link(key: string, servedAs: ServedAs, options?: LinkOptions): Promise<string> {
    return await this.#s3.link(key, servedAs, options)
  }

  /** Only that the bucket answers; storing objects shows whether it takes them. */
  async checkWritable(): Promise<void> {
    await this.#s3.checkReachable()
  }
}

/** Opens the file with its first chunk, so that an unread body has none to close. */
async function* readFile(path: string): AsyncGenerator<Uint8Array> {
  yield* createReadStream(path, { highWaterMark: 256 * 1024 })
}
