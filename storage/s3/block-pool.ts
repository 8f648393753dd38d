import { freeChunk } from '../../system/free-chunk.ts'

/** Memory is lent in blocks of this many bytes. */
export const BLOCK_BYTES = 256 * 1024
/**
 * What an upload takes outside of its blocks: what waits in its request and socket, the calls under way, and
 * memory that is not collected yet.
 */
const BESIDE_BLOCKS_BYTES = 1024 * 1024
/** What the process takes for all of them together once it is busy, measured with a hundred. */
const BUSY_BYTES = 64 * 1024 * 1024
/** A request that has had no byte for this long may stay silent for longer. */
const SILENT_MS = 1_000
const LOOK_AGAIN_MS = 250
/**
 * Free blocks are kept for so long when nobody gathers bytes any more: a client that sends one part after the other is
 * nobody for a moment between two of them, and V8 collects all garbage after every few dozen megabytes that are allocated.
 */
const KEPT_MS = 2_000

/** Somebody who gathers bytes in blocks. */
export interface BlockUser {
  /** Blocks that hold bytes and are not on their way to the bucket. */
  readonly idleBlocks: number
  /** Monotonic milliseconds of its last byte. */
  readonly fedAt: number
  /** Sends what it has gathered on its way, so that its blocks come back soon. Returns at once. */
  spill(): void
}

type Waiter = { count: number; resolve: (blocks: Buffer[]) => void }

/**
 * The memory in which one process gathers parts, for all uploads together. Requests wait for it in one line.
 * While somebody waits, blocks are asked back from requests that are silent, or have most, so clients that stall,
 * however many, hold back nobody.
 */
export class BlockPool {
  /** Blocks that the budget has room for, and that no crowd of uploads takes away. */
  readonly #most: number
  readonly #least: number
  readonly #besideBytes: number
  readonly #free: Buffer[] = []
  readonly #waiters: Waiter[] = []
  readonly #gatherers = new Set<BlockUser>()
  #allocated = 0
  #timer: NodeJS.Timeout | undefined
  #unused: NodeJS.Timeout | undefined

  /**
   * @param bytes what blocks, and what uploads take beside them, may come to; at least half of it is lent.
   * @param besideBytes what one upload takes beside its blocks.
   * @param busyBytes what all of them take besides.
   */
  constructor(bytes: number, besideBytes = BESIDE_BLOCKS_BYTES, busyBytes = BUSY_BYTES) {
    const all = Math.max(1, Math.floor(bytes / BLOCK_BYTES))
    this.#least = besideBytes === 0 ? all : Math.ceil(all / 2)
    this.#most = Math.max(this.#least, all - Math.ceil(busyBytes / BLOCK_BYTES))
    this.#besideBytes = besideBytes
  }

  /** Bytes that each of those who gather now, and one more, could have. */
  get fairShare(): number {
    return (this.#limit / (this.#gatherers.size + 1)) * BLOCK_BYTES
  }

  get #limit(): number {
    const beside = Math.floor((this.#gatherers.size * this.#besideBytes) / BLOCK_BYTES)
    return Math.max(this.#least, this.#most - beside)
  }

  enter(gatherer: BlockUser): void {
    this.#gatherers.add(gatherer)
    clearTimeout(this.#unused)
  }

  leave(gatherer: BlockUser): void {
    this.#gatherers.delete(gatherer)
    this.#shrinkTo(this.#limit)
    this.#serve()
    // When nobody uploads, the memory goes back to the system.
    if (this.#gatherers.size > 0) return
    clearTimeout(this.#unused)
    this.#unused = setTimeout(() => this.#shrinkTo(0), KEPT_MS).unref()
  }

  /** Lends so many blocks at once; waits for them behind those who asked before. */
  async take(count: number): Promise<Buffer[]> {
    if (count > this.#least) throw new Error(`${count} blocks are more than there are`)
    return this.takeNow(count) ?? (await this.#wait(count))
  }

  /** Lends so many blocks if that takes nobody else's turn. */
  takeNow(count: number): Buffer[] | undefined {
    return this.#waiters.length === 0 && this.#available >= count ? this.#lend(count) : undefined
  }

  /** Takes blocks back. Nothing may be reading them any more. */
  give(blocks: readonly Buffer[]): void {
    this.#free.push(...blocks)
    this.#shrinkTo(this.#limit)
    this.#serve()
  }

  /** Lends to those in line as far as there is enough, and sees to it that there will be for the others. */
  #serve(): void {
    for (let next = this.#waiters[0]; next && this.#available >= next.count; next = this.#waiters[0]) {
      this.#waiters.shift()
      next.resolve(this.#lend(next.count))
    }
    this.#relieve()
  }

  #shrinkTo(count: number): void {
    for (const block of this.#free.splice(0, Math.max(0, this.#allocated - count))) {
      freeChunk(block)
      this.#allocated -= 1
    }
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

  /**
   * Makes sure that who waits will get blocks: from those on their way, or else from who has any. Those who
   * are silent come first, the fullest before the others: a part that goes up in few pieces costs less.
   */
  #relieve(): void {
    if (this.#waiters.length === 0) return
    // Again after a while: who has been lent to a moment ago may fall silent as well.
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.#relieve()
    }, LOOK_AGAIN_MS).unref()
    const wanted = this.#waiters.reduce((sum, waiter) => sum + waiter.count, 0)
    const idle = [...this.#gatherers].filter((gatherer) => gatherer.idleBlocks > 0)
    const lent = this.#allocated - this.#free.length
    let coming = lent - idle.reduce((sum, gatherer) => sum + gatherer.idleBlocks, 0)
    const silentSince = performance.now() - SILENT_MS
    const isSilent = (gatherer: BlockUser) => Number(gatherer.fedAt < silentSince)
    idle.sort((a, b) => isSilent(b) - isSilent(a) || b.idleBlocks - a.idleBlocks)
    for (const gatherer of idle) {
      if (this.#available + coming >= wanted) return
      coming += gatherer.idleBlocks
      gatherer.spill()
    }
  }
}
