import pg from 'pg'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { Batches, SerialExecutor } from './batches.ts'

/** What the database says of a statement that it has refused. */
const refusal = (code: string) => Object.assign(new pg.DatabaseError('refused', 0, 'error'), { code })

const reasonOf = (outcome: PromiseSettledResult<unknown> | undefined) =>
  outcome?.status === 'rejected' ? outcome.reason : undefined

describe('batches', () => {
  afterEach(() => void vi.useRealTimers())

  /** Work on numbers that notes what it was asked to do; `fail` may throw, and odd numbers can be left alone. */
  function setUp({ fail = () => {}, leavesOdd = false }: { fail?: () => void; leavesOdd?: boolean } = {}) {
    const together: number[][] = []
    const alone: number[] = []
    const batches = new Batches<number, string>({
      ownerOf: () => 'alice',
      together: async (items) => {
        together.push([...items])
        fail()
        return items.map((item) => (leavesOdd && item % 2 === 1 ? undefined : `${item} together`))
      },
      alone: async (item) => {
        alone.push(item)
        if (item === 3) throw new Error('3 is bad')
        return `${item} alone`
      },
    })
    return { batches, together, alone }
  }

  it('gather what arrives while one is under way, and answer each item with its own result', async () => {
    const { batches, together } = setUp()
    const first = batches.add(0)
    await Promise.resolve()
    const rest = Promise.all([1, 2, 4].map((item) => batches.add(item)))
    expect(await first).toBe('0 together')
    expect(await rest).toEqual(['1 together', '2 together', '4 together'])
    expect(together).toEqual([[0], [1, 2, 4]])
  })

  it('are of 25 items at most', async () => {
    const { batches, together } = setUp()
    const items = Array.from({ length: 60 }, (_, index) => index)
    await Promise.all(items.map((item) => batches.add(item)))
    expect(together.map((batch) => batch.length)).toEqual([25, 25, 10])
    expect(together.flat()).toEqual(items)
  })

  it('leave to itself what does not go together; what becomes of it is its own', async () => {
    const { batches, alone } = setUp({ leavesOdd: true })
    const outcomes = await Promise.allSettled([1, 2, 3, 4].map((item) => batches.add(item)))
    expect(alone).toEqual([1, 3])
    expect(outcomes.map((outcome) => (outcome.status === 'fulfilled' ? outcome.value : 'failed'))).toEqual([
      '1 alone',
      '2 together',
      'failed',
      '4 together',
    ])
  })

  it('keep for the next one what locks its owner, while others of that owner go alone', async () => {
    const executor = new SerialExecutor()
    const done: string[] = []
    let isLocked = true
    const unlocked = Promise.withResolvers<void>()
    const make = (name: string) =>
      new Batches<string, string>(
        {
          ownerOf: (item) => item[0] ?? '',
          together: async (items) => {
            done.push(`${name}: ${items.join(' ')}`)
            return items.map((item) => (item.startsWith('a') && isLocked ? undefined : 'together'))
          },
          alone: async () => {
            await unlocked.promise
            isLocked = false
            return 'alone'
          },
          locksOwner: true,
        },
        executor,
      )
    const creations = make('created')
    const finishes = make('finished')
    const first = [creations.add('a1'), creations.add('a2'), creations.add('b1')]
    expect(await first[2]).toBe('together')
    const next = [finishes.add('a3'), creations.add('a4'), creations.add('a5')]
    expect(await creations.add('b2')).toBe('together')
    unlocked.resolve()
    expect(await Promise.all([...first, ...next])).toEqual([
      'alone',
      'alone',
      'together',
      'together',
      'together',
      'together',
    ])
    expect(done).toEqual(['created: a1 a2 b1', 'created: b2', 'finished: a3', 'created: a4 a5'])
  })

  it('do not wait for one that hangs alone for longer than a second', async () => {
    vi.useFakeTimers()
    let isLocked = true
    const batches = new Batches<number, string>({
      ownerOf: () => 'alice',
      together: async (items) => items.map(() => (isLocked ? undefined : 'together')),
      alone: () => new Promise(() => {}),
      locksOwner: true,
    })
    void batches.add(1)
    await vi.advanceTimersByTimeAsync(10)
    isLocked = false
    const outcome = vi.fn()
    void batches.add(2).then(outcome)
    await vi.advanceTimersByTimeAsync(900)
    expect(outcome).not.toHaveBeenCalled()
    await vi.advanceTimersByTimeAsync(200)
    expect(outcome).toHaveBeenCalledWith('together')
  })

  it.each(['22P05', '23505', '40P01', '0A000'])(
    'that the database refuses with %s are done one by one, and a bad one is alone in failing',
    async (code) => {
      const { batches } = setUp({
        fail: () => {
          throw refusal(code)
        },
      })
      const outcomes = await Promise.allSettled([1, 2, 3].map((item) => batches.add(item)))
      expect(outcomes.map((outcome) => outcome.status)).toEqual(['fulfilled', 'fulfilled', 'rejected'])
      expect(reasonOf(outcomes[2])).toEqual(new Error('3 is bad'))
    },
  )

  it.each([
    ['the connection breaks', new Error('read ECONNRESET')],
    ['the server is stopped', refusal('57P01')],
    ['the server fails', refusal('XX000')],
  ])('may be committed when %s, so they are not done again; later ones are done', async (_what, failure) => {
    const failures = [failure]
    const { batches, alone } = setUp({
      fail: () => {
        const next = failures.pop()
        if (next) throw next
      },
    })
    const outcomes = await Promise.allSettled([1, 2].map((item) => batches.add(item)))
    expect(outcomes.map(reasonOf)).toEqual([failure, failure])
    expect(alone).toEqual([])
    expect(await batches.add(4)).toBe('4 together')
  })

  it('go with others of other owners, however many of one owner wait', async () => {
    const batches: string[][] = []
    const open = Promise.withResolvers<void>()
    const work = new Batches<string, string>({
      ownerOf: (item) => item.slice(0, 1),
      together: async (items) => {
        batches.push([...items])
        await open.promise
        return items
      },
      alone: async (item) => item,
    })
    const all = Array.from({ length: 500 }, (_, n) => work.add(`a${n}`))
    const last = work.add('b')
    open.resolve()
    await last
    expect(batches.at(-1)).toContain('b')
    expect(batches.length).toBeLessThanOrEqual(2)
    expect(await Promise.all(all)).toHaveLength(500)
    expect(batches.flat().filter((item) => item.startsWith('a'))).toEqual(
      Array.from({ length: 500 }, (_, n) => `a${n}`),
    )
  })

  it('go one after another in an executor, unless one hangs', async () => {
    vi.useFakeTimers()
    const executor = new SerialExecutor()
    const begun: string[] = []
    const { promise: never } = Promise.withResolvers<string[]>()
    const alone = async () => ''
    const hangs = new Batches<string, string>(
      {
        ownerOf: () => 'alice',
        together: (items) => {
          begun.push(...items)
          return never
        },
        alone,
      },
      executor,
    )
    const works = new Batches<string, string>(
      { ownerOf: () => 'alice', together: async (items) => items, alone },
      executor,
    )
    void hangs.add('hangs')
    const later = works.add('later')
    void later.then((item) => begun.push(item))
    await vi.advanceTimersByTimeAsync(900)
    expect(begun).toEqual(['hangs'])
    await vi.advanceTimersByTimeAsync(200)
    expect(begun).toEqual(['hangs', 'later'])
  })
})
