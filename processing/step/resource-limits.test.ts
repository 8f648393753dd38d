import { setImmediate as nextTurn } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { ResourceLimits } from './resource-limits.ts'

const NEVER = new AbortController().signal
const [ALICE, ALICES_LONG, BOBS_LONG] = ['short:alice', 'long:alice', 'long:bob'] as const

describe('a limited resource', () => {
  it('lets so many in at a time, first come first served, whatever other resources do', async () => {
    const limits = new ResourceLimits({ scan: 1, decode: 2 })
    const begun: number[] = []
    let running = 0
    let most = 0
    const work = (n: number) => async () => {
      begun.push(n)
      running += 1
      most = Math.max(most, running)
      await nextTurn()
      running -= 1
    }
    const scan = Promise.withResolvers<void>()
    const scanning = limits.within('scan', ALICE, NEVER, () => scan.promise)
    await Promise.all([1, 2, 3, 4, 5, 6].map((n) => limits.within('decode', ALICE, NEVER, work(n))))
    expect(most).toBe(2)
    expect(begun).toEqual([1, 2, 3, 4, 5, 6])
    scan.resolve()
    await scanning
  })

  it('is left by work that fails', async () => {
    const limits = new ResourceLimits({ scan: 1, decode: 1 })
    await expect(limits.within('scan', ALICE, NEVER, () => Promise.reject(new Error('no')))).rejects.toThrow(
      'no',
    )
    expect(await limits.within('scan', ALICE, NEVER, async () => 'yes')).toBe('yes')
  })

  it('is not waited for by who is told to stop, and loses no place by it', async () => {
    const limits = new ResourceLimits({ scan: 1, decode: 1 })
    const first = Promise.withResolvers<void>()
    const running = limits.within('scan', ALICE, NEVER, () => first.promise)
    const stop = new AbortController()
    const stopped = limits.within('scan', ALICE, stop.signal, async () => 'never')
    const last = limits.within('scan', ALICE, NEVER, async () => 'last')
    stop.abort(new Error('stopped'))
    await expect(stopped).rejects.toThrow('stopped')
    first.resolve()
    await running
    expect(await last).toBe('last')
    await expect(limits.within('scan', ALICE, stop.signal, async () => 'never')).rejects.toThrow('stopped')
    expect(await limits.within('scan', ALICE, NEVER, async () => 'again')).toBe('again')
  })

  it('keeps a place from the long files of one owner: for others, and for short files', async () => {
    const limits = new ResourceLimits({ scan: 1, decode: 2 })
    const release = Promise.withResolvers<void>()
    const begun: string[] = []
    const run = (name: string, group: string, until: Promise<unknown> = Promise.resolve()) =>
      limits.within('decode', group, NEVER, async () => {
        begun.push(name)
        await until
      })
    const long = [1, 2, 3].map((n) => run(`long ${n}`, ALICES_LONG, release.promise))
    await run('short', ALICE)
    await run('other', BOBS_LONG)
    await run('short', ALICE)
    expect(begun).toEqual(['long 1', 'short', 'other', 'short'])
    release.resolve()
    await Promise.all(long)
    expect(begun.slice(4)).toEqual(['long 2', 'long 3'])
  })
})
