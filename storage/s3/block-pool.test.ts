import { afterEach, describe, expect, it, vi } from 'vitest'
import { BLOCK_BYTES, BlockPool, type BlockUser } from './block-pool.ts'

/** Gathers blocks and, asked for them, sends them on a way that ends when the test says. */
class TestGatherer implements BlockUser {
  readonly pool: BlockPool
  held: Buffer[] = []
  flying: Buffer[] = []
  fedAt: number
  spills = 0

  constructor(pool: BlockPool, fedAt: number) {
    this.pool = pool
    this.fedAt = fedAt
    pool.enter(this)
  }

  get idleBlocks(): number {
    return this.held.length
  }

  spill(): void {
    this.spills += 1
    this.flying.push(...this.held.splice(0))
  }

  async gather(count: number): Promise<void> {
    this.held.push(...(await this.pool.take(count)))
  }

  land(): void {
    this.pool.give(this.flying.splice(0))
  }
}

const isDone = async (promise: Promise<unknown>): Promise<boolean> => {
  let done = false
  void promise.then(() => {
    done = true
  })
  await new Promise(setImmediate)
  return done
}

afterEach(() => void vi.useRealTimers())

describe('the block pool', () => {
  it('keeps the blocks for a client that sends one part after the other, and not for longer', async () => {
    vi.useFakeTimers()
    const pool = new BlockPool(4 * BLOCK_BYTES, 0, 0)
    const upload = async (): Promise<Buffer | undefined> => {
      const gatherer = new TestGatherer(pool, performance.now())
      await gatherer.gather(3)
      gatherer.spill()
      const [block] = gatherer.flying
      gatherer.land()
      pool.leave(gatherer)
      return block
    }
    const first = await upload()
    vi.advanceTimersByTime(1_900)
    const second = await upload()
    expect(second).toBe(first)
    vi.advanceTimersByTime(1_900)
    expect(second?.byteLength).toBe(BLOCK_BYTES)
    vi.advanceTimersByTime(200)
    expect(second?.byteLength).toBe(0)
    expect(await upload()).not.toBe(first)
  })

  it('lends no more than its limit', async () => {
    const pool = new BlockPool(4 * BLOCK_BYTES + 100, 0, 0)
    const first = await pool.take(4)
    const second = pool.take(1)
    expect(await isDone(second)).toBe(false)
    pool.give(first.splice(0, 1))
    expect(await second).toHaveLength(1)
    await expect(pool.take(5)).rejects.toThrow('more than there are')
  })

  it('serves in the order of asking, also who asks for much', async () => {
    const pool = new BlockPool(4 * BLOCK_BYTES, 0, 0)
    const lent = await pool.take(4)
    const much = pool.take(3)
    const little = pool.take(1)
    pool.give(lent.splice(0, 2))
    expect([await isDone(much), await isDone(little)]).toEqual([false, false])
    expect(pool.takeNow(1)).toBeUndefined()
    pool.give(lent.splice(0, 1))
    expect([await isDone(much), await isDone(little)]).toEqual([true, false])
    pool.give(lent)
    expect(await isDone(little)).toBe(true)
  })

  it('asks blocks back from the silent first, then from who has most, and from no more than needed', async () => {
    const pool = new BlockPool(8 * BLOCK_BYTES, 0, 0)
    const now = performance.now()
    const silent = new TestGatherer(pool, now - 60_000)
    const full = new TestGatherer(pool, now)
    const fast = new TestGatherer(pool, now)
    await silent.gather(1)
    await full.gather(4)
    await fast.gather(3)
    const more = fast.gather(1)
    expect([silent.spills, full.spills, fast.spills]).toEqual([1, 0, 0])
    silent.land()
    await more
    const much = fast.gather(3)
    expect([silent.spills, full.spills, fast.spills]).toEqual([1, 1, 0])
    full.land()
    await much
  })

  it('asks back as much as all together wait for', async () => {
    const pool = new BlockPool(4 * BLOCK_BYTES, 0, 0)
    const crowd = Array.from({ length: 4 }, () => new TestGatherer(pool, 0))
    for (const one of crowd) await one.gather(1)
    const more = crowd.slice(0, 3).map((one) => one.gather(1))
    expect(crowd.reduce((sum, one) => sum + one.spills, 0)).toBe(3)
    for (const one of crowd) one.land()
    await Promise.all(more)
  })

  it('asks nobody while enough is on its way anyhow', async () => {
    const pool = new BlockPool(4 * BLOCK_BYTES, 0, 0)
    const one = new TestGatherer(pool, 1)
    const other = new TestGatherer(pool, 2)
    await one.gather(2)
    await other.gather(2)
    other.spill()
    const more = other.gather(2)
    expect(one.spills).toBe(0)
    other.land()
    await more
  })

  it('asks the one who waits as well, when there is nobody else', async () => {
    const pool = new BlockPool(2 * BLOCK_BYTES, 0, 0)
    const only = new TestGatherer(pool, 1)
    await only.gather(2)
    const more = only.gather(1)
    expect(only.spills).toBe(1)
    only.land()
    await more
  })

  it('lets a crowd of stalled clients hold back nobody', async () => {
    const pool = new BlockPool(8 * BLOCK_BYTES, 0, 0)
    const crowd = Array.from({ length: 100 }, (_, i) => new TestGatherer(pool, i))
    for (const stalled of crowd) {
      const gathering = stalled.gather(1)
      for (const other of crowd) other.land()
      await gathering
    }
    const busy = new TestGatherer(pool, 1000)
    for (let i = 0; i < 50; i++) {
      const gathering = busy.gather(1)
      for (const other of crowd) other.land()
      busy.flying.push(...busy.held.splice(0))
      busy.land()
      await gathering
    }
    expect(busy.spills).toBe(0)
  })

  it('looks again when those it lent to a moment ago fall silent while somebody waits', async () => {
    const pool = new BlockPool(4 * BLOCK_BYTES, 0, 0)
    const flying = await pool.take(4)
    const crowd = Array.from({ length: 4 }, () => new TestGatherer(pool, performance.now()))
    const late = new TestGatherer(pool, performance.now())
    for (const one of crowd) void one.gather(1)
    const served = late.gather(1)
    pool.give(flying)
    await expect.poll(() => crowd.reduce((sum, one) => sum + one.spills, 0)).toBe(1)
    for (const one of crowd) one.land()
    await served
  })

  it('lends less where many take memory beside their blocks, but never less than half', async () => {
    const pool = new BlockPool(10 * BLOCK_BYTES, BLOCK_BYTES, 0)
    const crowd = [new TestGatherer(pool, 0), new TestGatherer(pool, 0)]
    const blocks = [...(await pool.take(4)), ...(await pool.take(4))]
    expect(pool.takeNow(1)).toBeUndefined()
    crowd.push(...Array.from({ length: 20 }, () => new TestGatherer(pool, 0)))
    pool.give(blocks.splice(0, 4))
    expect(pool.takeNow(2)).toBeUndefined()
    expect(pool.takeNow(1)).toHaveLength(1)
    await expect(pool.take(6)).rejects.toThrow('more than there are')
  })

  it('shares its memory among those who gather, and keeps none when nobody does', async () => {
    const pool = new BlockPool(10 * BLOCK_BYTES, 0, 0)
    expect(pool.fairShare).toBe(10 * BLOCK_BYTES)
    const one = new TestGatherer(pool, 1)
    expect(pool.fairShare).toBe(5 * BLOCK_BYTES)
    await one.gather(10)
    one.spill()
    one.land()
    pool.leave(one)
    expect(pool.fairShare).toBe(10 * BLOCK_BYTES)
    expect(await pool.take(10)).toHaveLength(10)
  })
})
