import type { AcceptedTypes } from '../content/accepted-types.ts'
import { earlyVerdict } from '../content/headers/early-verdict.ts'
import { headerReaderFor } from '../content/headers/header-reader.ts'
import {
  type ClaimedType,
  detectType,
  HEAD_BYTES,
  isConclusive,
  judgeType,
} from '../content/identification.ts'
import type { MediaLimits } from '../content/media-limits.ts'
import { ContentRejected } from '../content/verdict.ts'

export type ContentPolicy = { accepted: AcceptedTypes; limits: MediaLimits }

/**
 * Passes on the bytes of an upload from the first one. The type is determined before any byte is passed on; then the
 * header is read as it arrives, as far as it comes first. Fails with `ContentRejected` as soon as it is clear that the
 * file will not be accepted. Processing checks the rest.
 */
export async function* inspectContent(
  source: AsyncIterable<Uint8Array>,
  upload: ClaimedType & { size: number | null },
  policy: ContentPolicy,
): AsyncGenerator<Uint8Array> {
  const head = new Head(upload.size)
  let checkHeader: ((chunk: Uint8Array) => void) | undefined
  let isJudged = false
  const judge = async () => {
    isJudged = true
    checkHeader = await judgeHead(head.bytes, upload, policy)
    for (const chunk of head.chunks) checkHeader?.(chunk)
  }
  let failure: { error: unknown } | undefined
  try {
    for await (const chunk of source) {
      if (isJudged) {
        checkHeader?.(chunk)
        yield chunk
        continue
      }
      head.add(chunk)
      if (!head.isFull) continue
      await judge()
      yield* head.take()
    }
  } catch (error) {
    if (isJudged) throw error
    failure = { error }
  }
  if (isJudged) return
  // The body has ended before the file: its type is not known yet.
  yield* head.take()
  if (failure) throw failure.error
}

/** The first bytes, held back until there are enough. */
class Head {
  chunks: Uint8Array[] = []
  #size = 0
  readonly #enough: number

  constructor(fileSize: number | null) {
    this.#enough = Math.min(fileSize ?? HEAD_BYTES, HEAD_BYTES)
  }

  add(chunk: Uint8Array): void {
    this.chunks.push(chunk)
    this.#size += chunk.byteLength
  }

  get isFull(): boolean {
    return this.#size >= this.#enough
  }

  get bytes(): Uint8Array {
    const [first] = this.chunks
    const all = this.chunks.length === 1 && first ? first : Buffer.concat(this.chunks)
    return all.subarray(0, HEAD_BYTES)
  }

  /** Hands over the chunks: the caller may free their memory. */
  take(): Uint8Array[] {
    const chunks = this.chunks
    this.chunks = []
    return chunks
  }
}

/** Judges the type. Returns the check of the header, as it arrives, where that can be read. */
async function judgeHead(
  head: Uint8Array,
  upload: ClaimedType & { size: number | null },
  { accepted, limits }: ContentPolicy,
): Promise<((chunk: Uint8Array) => void) | undefined> {
  const detected = await detectType(head)
  if (!isConclusive(head, detected, accepted)) return undefined
  const judged = judgeType(detected, upload, accepted, head)
  if ('verdict' in judged) throw new ContentRejected(judged.verdict)
  const { contentType, kind } = judged.format
  let reader = headerReaderFor(contentType)
  return function check(chunk) {
    if (!reader) return
    reader.push(chunk)
    const verdict = earlyVerdict(reader.facts, kind, limits, upload.size)
    if (verdict) throw new ContentRejected(verdict)
    if (reader.isDone) reader = undefined
  }
}
