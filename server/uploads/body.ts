import { BodyTooLong } from '../../storage/store/outcomes.ts'
import { Interrupted } from './outcomes.ts'

export type BodyLimits = {
  /** Bytes the body may have. */
  maxBytes: number
  /** Ends the body early, as if the client had sent no more. */
  signal: AbortSignal
}

/** The body of a request, for any protocol. */
export type Body = {
  /** Declared length; undefined for a chunked body. */
  readonly length: number | undefined
  /** To be called once. Fails with `BodyTooLong`, and with `Interrupted` when the body ends too early. */
  read(limits: BodyLimits): AsyncIterable<Uint8Array>
  /** Whether all of them have arrived. */
  isWhole(): boolean
}

/** A check of a complete body. */
export type BodyCheck = { update(chunk: Uint8Array): void; check(): void }

export const NO_BODY: Body = {
  length: 0,
  async *read() {},
  isWhole: () => true,
}

export type Checks = BodyLimits & {
  /** Offset of the first byte. */
  offset: number
  checks?: readonly BodyCheck[]
  onWhole?: (to: number) => Promise<void>
}

/** The bytes of a body, which is checked when it is complete. One that was cut off is not checked. */
export function checked(body: Body, options: Checks): AsyncIterable<Uint8Array> {
  const bytes = body.read(options)
  return options.checks?.length || options.onWhole ? compared(bytes, body, options) : bytes
}

async function* compared(
  bytes: AsyncIterable<Uint8Array>,
  body: Body,
  { checks = [], offset, onWhole, signal }: Checks,
): AsyncGenerator<Uint8Array> {
  let to = offset
  for await (const chunk of bytes) {
    for (const check of checks) check.update(chunk)
    to += chunk.byteLength
    yield chunk
  }
  if (signal.aborted || !body.isWhole()) throw new Interrupted()
  for (const check of checks) check.check()
  await onWhole?.(to)
}

/**
 * The same body, which knows after its reading whether it was too long: then an upload that has its length by it is not
 * what the client means.
 */
export function noting(body: Body): Body & { readonly wasTooLong: boolean } {
  let wasTooLong = false
  return {
    ...body,
    get wasTooLong() {
      return wasTooLong
    },
    async *read(limits) {
      try {
        yield* body.read(limits)
      } catch (error) {
        wasTooLong = error instanceof BodyTooLong
        throw error
      }
    },
  }
}
