import { afterEach, describe, expect, it, vi } from 'vitest'
import { TurnRefused, Turns } from './turns.ts'

describe('turns', () => {
  afterEach(() => {
    vi.useRealTimers()
  })

  const open = (changes: Partial<ConstructorParameters<typeof Turns>[0]> = {}) =>
    new Turns({ atOnce: () => 2, maxWaiting: 2, maxWaitMs: 1000, ...changes })

  it('are so many of each key at a time, in the order in which they were asked for', async () => {
    const turns = open()
    const leave = [await turns.enter('a'), await turns.enter('a')]
    const entered: string[] = []
    const third = turns.enter('a').then((done) => [entered.push('third'), done] as const)
    const fourth = turns.enter('a').then((done) => [entered.push('fourth'), done] as const)
    // Another key waits for nobody.
    const other = await turns.enter('b')
    expect(entered).toEqual([])
    leave[0]?.()
    // Given back twice it is given back once.
    leave[0]?.()
    await third
    expect(entered).toEqual(['third'])
    leave[1]?.()
    await fourth
    expect(entered).toEqual(['third', 'fourth'])
    for (const done of [(await third)[1], (await fourth)[1], other]) done()
    expect(turns.size).toBe(0)
  })

  it('are refused where too many wait, and where one has waited for too long', async () => {
    vi.useFakeTimers()
    const turns = open({ atOnce: () => 1, maxWaiting: 1 })
    const leave = await turns.enter('a')
    const late = turns.enter('a')
    await expect(turns.enter('a')).rejects.toThrow(TurnRefused)
    const refused = expect(late).rejects.toThrow(TurnRefused)
    await vi.advanceTimersByTimeAsync(1000)
    await refused
    leave()
    expect(turns.size).toBe(0)
  })

  it('of a key of which others wait leave time to other keys, and wait for their turns, but not too long', async () => {
    vi.useFakeTimers()
    let maxMs = 50
    const turns = open({ atOnce: () => 1, maxWaiting: 10, restMs: () => maxMs })
    const entered: (() => void)[] = []
    const first = await turns.enter('many', undefined, 3)
    for (let n = 0; n < 5; n++) void turns.enter('many').then((leave) => entered.push(leave))
    const entering = async (ms: number) => {
      await vi.advanceTimersByTimeAsync(ms)
      return entered.length
    }
    // Twice as much time as the turn took, with what it took before.
    await entering(7)
    first()
    expect([await entering(19), await entering(1)]).toEqual([0, 1])
    // Until the turn of somebody else is over.
    const few = await turns.enter('few')
    entered[0]?.()
    expect(await entering(20)).toBe(1)
    few()
    expect(await entering(0)).toBe(2)
    // Which is not waited for without end.
    const lasting = await turns.enter('lasting')
    await entering(100)
    entered[1]?.()
    expect([await entering(49), await entering(1)]).toEqual([2, 3])
    lasting()
    // Not at all where nobody else is there.
    maxMs = 0
    entered[2]?.()
    expect(await entering(0)).toBe(4)
    entered[3]?.()
    await entering(0)
    entered[4]?.()
    expect(turns.size).toBe(0)
  })

  it('become fewer and more as things are', async () => {
    let most = 2
    const turns = open({ atOnce: () => most, maxWaiting: 10 })
    const running = [await turns.enter('a'), await turns.enter('a')]
    const entered: (() => void)[] = []
    for (let n = 0; n < 3; n++) void turns.enter('a').then((leave) => entered.push(leave))
    most = 1
    running[0]?.()
    await Promise.resolve()
    expect(entered).toHaveLength(0)
    most = 3
    running[1]?.()
    await expect.poll(() => entered.length).toBe(3)
    for (const leave of entered) leave()
    expect(turns.size).toBe(0)
  })

  it('are not waited for by who has left', async () => {
    const turns = open({ atOnce: () => 1, maxWaiting: 1 })
    const leave = await turns.enter('a')
    const left = new AbortController()
    const waiting = turns.enter('a', left.signal)
    left.abort(new Error('left'))
    await expect(waiting).rejects.toThrow('left')
    const next = turns.enter('a')
    leave()
    ;(await next)()
    expect(turns.size).toBe(0)
  })
})
