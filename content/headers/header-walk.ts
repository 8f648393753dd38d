import { type FileView, StructureUnreadable } from '../file-view.ts'

/** The header of a file, as far as it was read. */
export type HeaderFacts = {
  durationSeconds: number | undefined
  /** One for each video track, in the order of the file, as shown; 0×0 where the size is not certain. */
  pictures: readonly Picture[]
  /** One of its tracks is encrypted: only the holder of the key can play it. */
  isEncrypted: boolean
}

export const NO_FACTS: HeaderFacts = { durationSeconds: undefined, pictures: [], isEncrypted: false }

/** In pixels. */
export type Picture = { width: number; height: number }

/** Reads the header of a file while it arrives. Never throws, and keeps few bytes. */
export interface HeaderReader {
  /** The next bytes of the file, from offset 0 on and without gaps. They are not kept. */
  push(chunk: Uint8Array): void
  /** Whether further bytes change nothing: the header was read, comes too late, or makes no sense. */
  readonly isDone: boolean
  readonly facts: HeaderFacts
}

/** A parser that yields what it wants to read, as if it read a file. */
export type Walk<Result = void> = Generator<Wish, Result, Buffer>

type Wish = { bytes: number; kept: boolean }

/** A valid header has some hundreds before its media data; each costs time, and as little as two bytes. */
const MAX_ELEMENTS = 10_000
const NO_BYTES = Buffer.alloc(0)

/** Ends a walk: the header contains nothing more that can be read. The later check of the whole file decides. */
export class Unreadable extends Error {
  override readonly name = 'Unreadable'
}

/** The input and the results of a walk. */
export class Feed {
  facts: HeaderFacts = NO_FACTS
  #offset = 0
  #elements = 0

  /** Bytes from the start of the file. */
  get offset(): number {
    return this.#offset
  }

  /** The next bytes, copied. For fixed sizes only: a size from the file is only ever skipped. */
  *take(bytes: number): Walk<Buffer> {
    const taken = yield { bytes, kept: true }
    this.#offset += bytes
    return taken
  }

  /** Skips everything before an offset. */
  *skipTo(offset: number): Walk {
    if (offset > Number.MAX_SAFE_INTEGER) throw new Unreadable('nothing comes after this')
    const bytes = offset - this.#offset
    if (bytes <= 0) return
    yield { bytes, kept: false }
    this.#offset = offset
  }

  /** To be called for each box or element: a header with too many is given up. */
  countElement(): void {
    this.#elements += 1
    if (this.#elements > MAX_ELEMENTS) throw new Unreadable('is made of too many pieces')
  }
}

/** A reader that feeds a walk as the bytes arrive. */
export class WalkingReader implements HeaderReader {
  readonly #feed = new Feed()
  /** Undefined once it has ended. */
  #walk: Walk | undefined
  /** What the walk waits for: bytes still to come, and where they are stored unless they are skipped. */
  #missing = 0
  #taken: Buffer | undefined

  constructor(walk: (feed: Feed) => Walk) {
    this.#walk = walk(this.#feed)
    this.#resume()
  }

  get isDone(): boolean {
    return this.#walk === undefined
  }

  get facts(): HeaderFacts {
    return this.#feed.facts
  }

  push(chunk: Uint8Array): void {
    let rest = chunk
    while (this.#walk) {
      const part = rest.subarray(0, this.#missing)
      this.#taken?.set(part, this.#taken.length - this.#missing)
      this.#missing -= part.length
      if (this.#missing > 0) return
      rest = rest.subarray(part.length)
      this.#resume()
    }
  }

  #resume(): void {
    const wish = this.#nextWish()
    if (!wish) this.#walk = undefined
    this.#missing = wish?.bytes ?? 0
    this.#taken = wish?.kept ? Buffer.alloc(wish.bytes) : undefined
  }

  #nextWish(): Wish | undefined {
    try {
      const step = this.#walk?.next(this.#taken ?? NO_BYTES)
      return step?.done === false ? step.value : undefined
    } catch (error) {
      // Invalid bytes are left to the check of the whole file.
      if (error instanceof Unreadable) return undefined
      throw error
    }
  }
}

/** Reads the header of a whole file, wherever it is in the file. What it skips is not read. */
export async function walkFile(walk: (feed: Feed) => Walk, file: FileView): Promise<HeaderFacts> {
  const feed = new Feed()
  const steps = walk(feed)
  let taken: Buffer = NO_BYTES
  try {
    for (let at = 0; ; ) {
      const step = steps.next(taken)
      if (step.done) return feed.facts
      const { bytes, kept } = step.value
      taken = kept ? await file.take(at, bytes) : NO_BYTES
      at += bytes
      if (at > file.size || (kept && taken.length < bytes)) return feed.facts
    }
  } catch (error) {
    // What makes no sense, or consists of too many pieces, is left to the decoder.
    if (error instanceof Unreadable || error instanceof StructureUnreadable) return feed.facts
    throw error
  }
}
