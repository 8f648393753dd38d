/** Reads bytes `[start, end]` of a file, both inclusive. */
export type ReadRange = (start: number, end: number) => Promise<Buffer>

/** Bytes `[start, end)` of a file that its format does not use. */
export type Stray = { start: number; end: number }

const SMALL_WINDOW = 16 * 1024
const LARGEST_WINDOW = 4 * 1024 * 1024
/** A file that needs more reads is given up: each may be a request to the storage. */
const MAX_READS = 2_000
const MAX_BYTES = 256 * 1024 * 1024

/** The structure of a file could not be parsed: it makes no sense, or is too large. */
export class StructureUnreadable extends Error {
  override readonly name = 'StructureUnreadable'
}

/** A file by offset, read in windows that grow while it is read sequentially. Limits requests and bytes. */
export class FileView {
  readonly size: number
  readonly #read: ReadRange
  readonly #kept: { start: number; bytes: Buffer }[] = []
  #window: { start: number; bytes: Buffer } = { start: 0, bytes: Buffer.alloc(0) }
  #windowBytes = SMALL_WINDOW
  #reads = 0
  #bytes = 0

  constructor(size: number, read: ReadRange, known: readonly { start: number; bytes: Buffer }[] = []) {
    this.size = size
    this.#read = read
    this.#kept.push(...known)
  }

  /** Bytes from an offset on, at least one, as many as are buffered; empty at the end of the file. */
  async from(offset: number): Promise<Buffer> {
    return await this.take(offset, 1, Number.POSITIVE_INFINITY)
  }

  /** At least `count` bytes from an offset on, up to `most`; fewer only at the end of the file. */
  async take(offset: number, count: number, most = count): Promise<Buffer> {
    const wanted = Math.min(count, this.size - offset)
    if (wanted <= 0) return Buffer.alloc(0)
    for (const { start, bytes } of [this.#window, ...this.#kept]) {
      if (offset >= start && offset + wanted <= start + bytes.length)
        return bytes.subarray(offset - start, offset - start + most)
    }
    await this.#move(offset, wanted)
    return this.#window.bytes.subarray(0, most)
  }

  async #move(offset: number, wanted: number): Promise<void> {
    const isNext = offset <= this.#window.start + this.#window.bytes.length && offset > this.#window.start
    this.#windowBytes = isNext ? Math.min(this.#windowBytes * 4, LARGEST_WINDOW) : SMALL_WINDOW
    const end = Math.min(this.size, offset + Math.max(wanted, this.#windowBytes))
    this.#reads += 1
    this.#bytes += end - offset
    if (this.#reads > MAX_READS || this.#bytes > MAX_BYTES)
      throw new StructureUnreadable('is made of too many pieces')
    this.#window = { start: offset, bytes: await this.#read(offset, end - 1) }
  }
}
