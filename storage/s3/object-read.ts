import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { ObjectMissing, StorageUnavailable } from '../store/objects.ts'
import type { S3, S3Reply } from './s3.ts'

/** Replies in a row without a new byte before the read is given up. */
const FRUITLESS_REPLIES = 5
const FIRST_DELAY_MS = 100

/**
 * One object, or a range of it, as a stream that survives broken connections: where a reply breaks off, ends early or
 * falls silent, the next one continues from there, for the very same object. Reads ahead only as much as its buffer
 * holds, and closes the connection when destroyed.
 */
export class ObjectRead extends Readable {
  readonly #s3: S3
  readonly #key: string
  readonly #chunks: AsyncGenerator<Uint8Array>
  readonly #stopping = new AbortController()
  #reply: S3Reply

  /** Continues from the first reply, which identifies the object and the range. */
  constructor(s3: S3, key: string, first: S3Reply) {
    super({ highWaterMark: 256 * 1024 })
    this.#s3 = s3
    this.#key = key
    this.#reply = listened(first)
    this.#chunks = this.#receive(first)
  }

  override _read(): void {
    this.#chunks.next().then(
      ({ done, value }) => this.push(done ? null : value),
      (error) => this.destroy(error),
    )
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.#stopping.abort()
    this.#reply.body.destroy()
    callback(error)
  }

  async *#receive({ start, end, etag }: S3Reply): AsyncGenerator<Uint8Array> {
    const { signal } = this.#stopping
    let at = start
    for (let fruitless = 0; ; ) {
      try {
        for await (const chunk of this.#reply.body as AsyncIterable<Uint8Array>) {
          at += chunk.byteLength
          if (at > end + 1) throw new Error('S3 sent more than it announced')
          fruitless = 0
          yield chunk
        }
        if (at > end) return
        throw new Error(`S3 ended a reply at ${at} of ${end + 1} bytes`)
      } catch (error) {
        fruitless += 1
        if (at > end + 1 || fruitless > FRUITLESS_REPLIES) throw new StorageUnavailable({ cause: error })
      }
      await sleep(FIRST_DELAY_MS * 2 ** (fruitless - 1) * (0.5 + Math.random()), undefined, { signal })
      this.#reply = await this.#again({ start: at, end }, etag)
    }
  }

  /** Requests the rest. */
  async #again(range: { start: number; end: number }, etag: string): Promise<S3Reply> {
    const { signal } = this.#stopping
    const reply = listened(await this.#s3.open(this.#key, { range, etag }, signal))
    // Destroyed while the call was running: close its reply.
    if (signal.aborted) reply.body.destroy()
    if (reply.end !== range.end) {
      reply.body.destroy()
      throw new ObjectMissing(this.#key)
    }
    return reply
  }
}

/** A reply may break before it is read; the reader finds out by itself. */
function listened(reply: S3Reply): S3Reply {
  reply.body.on('error', () => {})
  return reply
}
