/** Memory is lent in blocks of this many bytes. */
export const BLOCK_BYTES = 256 * 1024

/** Somebody who gathers bytes in blocks. */
export interface Gatherer {
  /** Blocks that hold bytes and are not on their way to the bucket. */
  readonly idleBlocks: number
  /** Monotonic milliseconds of its last byte. */
  readonly fedAt: number
  /** Sends what it has gathered on its way, so that its blocks come back soon. Returns at once. */
  spill(): void
}

type Waiter = { count: number; resolve: (blocks: Buffer[]) => void }

/**
 * The memory in which one process gathers parts, for all uploads together. Whoever asks waits in one line.
 * While somebody waits, the blocks of whoever has received nothing for the longest time are asked back, so
 * clients that stall, however many, hold back nobody.
 */
export class BlockPool {
  readonly #limit: number
  readonly #free: Buffer[] = []
  readonly #waiters: Waiter[] = []
  readonly #gatherers = new Set<Gatherer>()
  #allocated = 0

  /** @param bytes the most that is ever lent. */
  constructor(bytes: number) {
    this.#limit = Math.max(1, Math.floor(bytes / BLOCK_BYTES))
  }

  /** Bytes that each of those who gather now, and one more, could have. */
  get fairShare(): number {
    return (this.#limit / (this.#gatherers.size + 1)) * BLOCK_BYTES
  }

  enter(gatherer: Gatherer): void {
    this.#gatherers.add(gatherer)
  }

  leave(gatherer: Gatherer): void {
    this.#gatherers.delete(gatherer)
    if (this.#gatherers.size > 0) return
    // Nobody uploads: the memory goes back to the system.
    this.#allocated -= this.#free.length
    this.#free.length = 0
  }

  /** Lends so many blocks at once; waits for them behind those who asked before. */
  async take(count: number): Promise<Buffer[]> {
    if (count > this.#limit) throw new Error(`${count} blocks are more than there are`)
    return this.takeNow(count) ?? (await this.#wait(count))
  }

  /** Lends so many blocks if that takes nobody else's turn. */
  takeNow(count: number): Buffer[] | undefined {
    return this.#waiters.length === 0 && this.#available >= count ? this.#lend(count) : undefined
  }

  /** Takes blocks back. Nothing may be reading them any more. */
  give(blocks: readonly Buffer[]): void {
    this.#free.push(...blocks)
    for (let next = this.#waiters[0]; next && this.#available >= next.count; next = this.#waiters[0]) {
      this.#waiters.shift()
      next.resolve(this.#lend(next.count))
    }
    this.#relieve()
  }

  get #available(): number {
    return this.#free.length + this.#limit - this.#allocated
  }

  async #wait(count: number): Promise<Buffer[]> {
    const { promise, resolve } = Promise.withResolvers<Buffer[]>()
    this.#waiters.push({ count, resolve })
    this.#relieve()
    return await promise
  }

  #lend(count: number): Buffer[] {
    const blocks = this.#free.splice(Math.max(0, this.#free.length - count))
    while (blocks.length < count) {
      blocks.push(Buffer.allocUnsafeSlow(BLOCK_BYTES))
      this.#allocated += 1
    }
    return blocks
  }

  /** Makes sure that the first in line will get its blocks: from those on their way, or else from who is idle. */
  #relieve(): void {
    const [first] = this.#waiters
    if (!first) return
    const idle = [...this.#gatherers].filter((gatherer) => gatherer.idleBlocks > 0)
    const lent = this.#allocated - this.#free.length
    let coming = lent - idle.reduce((sum, gatherer) => sum + gatherer.idleBlocks, 0)
    idle.sort((a, b) => a.fedAt - b.fedAt)
    for (const gatherer of idle) {
      if (this.#available + coming >= first.count) return
      coming += gatherer.idleBlocks
      gatherer.spill()
    }
  }
}
