import { createHash } from 'node:crypto'
import { BLOCK_BYTES } from './block-pool.ts'
import type { S3Body } from './s3-body.ts'

/** Bytes gathered in blocks and hashed as they come: the body of one call to the bucket. */
export class PartBuffer implements S3Body {
  readonly #blocks: Buffer[] = []
  readonly #hash = createHash('sha256')
  #size = 0
  #sha256: string | undefined

  get size(): number {
    return this.#size
  }

  get blockCount(): number {
    return this.#blocks.length
  }

  /** Hexadecimal. Nothing can be added after it was read. */
  get sha256(): string {
    this.#sha256 ??= this.#hash.digest('hex')
    return this.#sha256
  }

  /** Bytes that fit without another block. */
  get room(): number {
    return this.#blocks.length * BLOCK_BYTES - this.#size
  }

  addBlock(block: Buffer): void {
    this.#blocks.push(block)
  }

  /** Appends bytes, which must fit. */
  append(bytes: Uint8Array): void {
    let rest = bytes
    while (rest.byteLength > 0) {
      const block = this.#blocks[Math.floor(this.#size / BLOCK_BYTES)]
      if (!block) throw new Error('no room left')
      const at = this.#size % BLOCK_BYTES
      const piece = rest.subarray(0, BLOCK_BYTES - at)
      block.set(piece, at)
      this.#size += piece.byteLength
      rest = rest.subarray(piece.byteLength)
    }
    this.#hash.update(bytes)
  }

  *chunks(): Generator<Uint8Array> {
    for (let at = 0; at < this.#size; at += BLOCK_BYTES) {
      const block = this.#blocks[at / BLOCK_BYTES]
      if (block) yield block.subarray(0, Math.min(BLOCK_BYTES, this.#size - at))
    }
  }

  /** The first contiguous bytes. */
  get head(): Uint8Array {
    return this.#blocks[0]?.subarray(0, Math.min(this.#size, BLOCK_BYTES)) ?? new Uint8Array()
  }

  /** Returns the blocks to the caller. */
  release(): Buffer[] {
    this.#size = 0
    return this.#blocks.splice(0)
  }
}
