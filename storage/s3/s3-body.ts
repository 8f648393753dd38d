import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import type { S3 as S3Client } from '@aws-sdk/client-s3'
import { BodyUnreadable } from './s3-errors.ts'

/** The body of an object or part: it can be read again for each attempt, and its hash is signed. */
export type S3Body = {
  size: number
  sha256: string
  chunks(): Iterable<Uint8Array> | AsyncIterable<Uint8Array>
}

/** Bytes in memory as a body. */
export const bodyOf = (bytes: Uint8Array): S3Body => ({
  size: bytes.byteLength,
  sha256: createHash('sha256').update(bytes).digest('hex'),
  chunks: () => [bytes],
})

/**
 * Makes a call with a body. Fails with `BodyUnreadable` when that cannot be read: the SDK would wait for the rest of
 * it, and its error, without a listener, would end the process.
 */
export async function sending<Result>(
  body: S3Body,
  signal: AbortSignal,
  call: (body: SentBody, signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const sent = new SentBody(body)
  const unreadable = new AbortController()
  sent.once('error', (error) => unreadable.abort(new BodyUnreadable({ cause: error })))
  try {
    return await call(sent, AbortSignal.any([signal, unreadable.signal]))
  } catch (error) {
    throw unreadable.signal.aborted && !signal.aborted ? unreadable.signal.reason : error
  }
}

/** A body that is being sent, with its hash for the signature. */
class SentBody extends Readable {
  readonly sha256: string
  readonly #chunks: Iterator<Uint8Array> | AsyncIterator<Uint8Array>

  constructor(body: S3Body) {
    super()
    this.sha256 = body.sha256
    const chunks = body.chunks()
    this.#chunks = Symbol.iterator in chunks ? chunks[Symbol.iterator]() : chunks[Symbol.asyncIterator]()
  }

  override _read(): void {
    const next = this.#chunks.next()
    if (next instanceof Promise) next.then(this.#pass, (error) => this.destroy(error))
    else this.#pass(next)
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    callback(error)
    // Closes a file that was not read to its end; a failure of that does not matter to the call.
    Promise.resolve(this.#chunks.return?.()).catch(() => {})
  }

  readonly #pass = ({ done, value }: IteratorResult<Uint8Array>) => void this.push(done ? null : value)
}

/** Signs the hash of the body, so that the bucket stores exactly these bytes or refuses them. */
export function signBodies(client: S3Client): void {
  client.middlewareStack.add(
    (next) => async (args) => {
      const { body, headers } = args.request as { body?: unknown; headers: Record<string, string> }
      if (body instanceof SentBody) headers['x-amz-content-sha256'] = body.sha256
      return await next(args)
    },
    { step: 'build', name: 'landfallBodyHash' },
  )
}
