/** What the header of a file says, as far as it has been read. */
export type HeaderFacts = {
  durationSeconds: number | undefined
  /** One a video track, in the order of the file, as shown; 0×0 where a track does not say it for sure. */
  pictures: readonly Picture[]
}

/** In pixels. */
export type Picture = { width: number; height: number }

/** Reads the header of a file while the file arrives. Whatever the bytes are: it does not throw, and keeps few. */
export interface HeaderReader {
  /** The next bytes of the file, from offset 0 on and without gaps. They are not kept. */
  push(chunk: Uint8Array): void
  /** Whether further bytes change nothing: the header has been read, comes too late, or makes no sense. */
  readonly isDone: boolean
  readonly facts: HeaderFacts
}

/** A parser that waits for bytes in the middle of its work, as if it read a file. */
export type Walk<Result = void> = Generator<Wish, Result, Buffer>

type Wish = { bytes: number; kept: boolean }

/** A sound header has some hundreds before its media; each costs time, and as little as two bytes. */
const MAX_ELEMENTS = 10_000
const NO_BYTES = Buffer.alloc(0)

/** Ends a walk: this header says nothing, or nothing more. The later look at the whole file judges that. */
export class Unreadable extends Error {
  override readonly name = 'Unreadable'
}

/** Where a walk gets its bytes from, and puts what it found. */
export class Feed {
  facts: HeaderFacts = { durationSeconds: undefined, pictures: [] }
  #offset = 0
  #elements = 0

  /** Bytes from the start of the file. */
  get offset(): number {
    return this.#offset
  }

  /** The next bytes, a copy. For fields of a fixed size: a size that the file tells is only ever passed over. */
  *take(bytes: number): Walk<Buffer> {
    const taken = yield { bytes, kept: true }
    this.#offset += bytes
    return taken
  }

  /** Lets everything before an offset go by. */
  *skipTo(offset: number): Walk {
    if (offset > Number.MAX_SAFE_INTEGER) throw new Unreadable('nothing comes after this')
    const bytes = offset - this.#offset
    if (bytes <= 0) return
    yield { bytes, kept: false }
    this.#offset = offset
  }

  /** To be called once a box or element: what is made of a million of them is left alone. */
  countElement(): void {
    this.#elements += 1
    if (this.#elements > MAX_ELEMENTS) throw new Unreadable('is made of too many pieces')
  }
}

/** A reader that gives a walk the bytes it wishes for, as they come. */
export class WalkingReader implements HeaderReader {
  readonly #feed = new Feed()
  /** Undefined once it has ended. */
  #walk: Walk | undefined
  /** What the walk waits for: bytes still to come, and where they go unless they are passed over. */
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
      // Bytes of a client are no fault of ours, and damage is for the check of the whole file to find.
      if (error instanceof Unreadable) return undefined
      throw error
    }
  }
}
