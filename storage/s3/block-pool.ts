import { freeChunk } from '../../system/free-chunk.ts'

/** Size of a block in bytes. */
export const BLOCK_BYTES = 256 * 1024
/** Memory of an upload besides its blocks: buffers of its request and socket, running calls, and garbage. */
const BESIDE_BLOCKS_BYTES = 1024 * 1024
/** Memory of a busy process for all uploads together, measured with a hundred. */
const BUSY_BYTES = 64 * 1024 * 1024
/** A request without a byte for this long counts as silent. */
const SILENT_MS = 1_000
const LOOK_AGAIN_MS = 250
/**
 * How long free blocks are kept when no upload is running: a client that sends one part after the other pauses between
 * them, and V8 collects all garbage after every few dozen megabytes of allocation.
 */
const KEPT_MS = 2_000

/** A request that gathers bytes in blocks. */
export interface BlockUser {
  /** Blocks that hold bytes and are not being sent to the bucket. */
  readonly idleBlocks: number
  /** Monotonic milliseconds of its last byte. */
  readonly fedAt: number
  /** Starts sending what it has gathered, so that its blocks are returned soon. Returns at once. */
  spill(): void
}

type Waiter = { count: number; resolve: (blocks: Buffer[]) => void }

/**
 * The memory in which one process gathers parts, for all uploads together. Requests wait for blocks in one queue.
 * Meanwhile blocks are asked back from requests that are silent or have the most, so that stalled clients delay nobody.
 */
export class BlockPool {
  /** Blocks within the budget, whatever the number of uploads. */
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
   * @param bytes budget for blocks and the other memory of uploads; at least half of it is for blocks.
   * @param besideBytes other memory of one upload.
   * @param busyBytes other memory of all together.
   */
  constructor(bytes: number, besideBytes = BESIDE_BLOCKS_BYTES, busyBytes = BUSY_BYTES) {
    const all = Math.max(1, Math.floor(bytes / BLOCK_BYTES))
    this.#least = besideBytes === 0 ? all : Math.ceil(all / 2)
    this.#most = Math.max(this.#least, all - Math.ceil(busyBytes / BLOCK_BYTES))
    this.#besideBytes = besideBytes
  }

  /** Bytes for each upload that is running now, and one more. */
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
    // Without uploads the memory goes back to the system.
    if (this.#gatherers.size > 0) return
    clearTimeout(this.#unused)
    this.#unused = setTimeout(() => this.#shrinkTo(0), KEPT_MS).unref()
  }

  /** Takes so many blocks at once; waits behind earlier requests. */
  async take(count: number): Promise<Buffer[]> {
    if (count > this.#least) throw new Error(`${count} blocks are more than there are`)
    return this.takeNow(count) ?? (await this.#wait(count))
  }

  /** Takes so many blocks where nobody waits and they are free; undefined otherwise. */
  takeNow(count: number): Buffer[] | undefined {
    return this.#waiters.length === 0 && this.#available >= count ? this.#lend(count) : undefined
  }

  /** Returns blocks. Nothing may be reading them any more. */
  give(blocks: readonly Buffer[]): void {
    this.#free.push(...blocks)
    this.#shrinkTo(this.#limit)
    this.#serve()
  }

  /** Serves waiting requests, and asks for blocks back for the others. */
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
   * Ensures that waiting requests will get blocks: from running sends, or else by `spill`. Silent requests come first,
   * and of these the fullest: a part in few tails costs less.
   */
  #relieve(): void {
    if (this.#waiters.length === 0) return
    // Again after a while: other requests may have become silent.
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
