import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { newMediaId } from '../../ledger/ids.ts'
import { Problem } from '../http/errors.ts'
import { readInput } from '../http/read-input.ts'
import { readCursor, writeCursor } from './query.ts'

function problemOf(work: () => unknown): Problem {
  try {
    work()
  } catch (error) {
    if (error instanceof Problem) return error
    throw error
  }
  throw new Error('nothing was wrong')
}

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')

describe('a cursor', () => {
  it('comes back as it was given, whatever the row', () => {
    const micros = fc.bigInt({ min: 0n, max: 10n ** 16n }).map(String)
    fc.assert(
      fc.property(micros, (createdAtMicros) => {
        const row = { createdAtMicros, id: newMediaId() }
        const cursor = writeCursor(row)
        expect(cursor).toMatch(/^[A-Za-z0-9_-]{1,200}$/)
        expect(readCursor(cursor)).toEqual(row)
      }),
    )
  })

  const id = newMediaId()
  it.each<[string, string]>([
    ['is empty', ''],
    ['is no base64', '%%%'],
    ['is no JSON', Buffer.from('{').toString('base64url')],
    ['is no pair', encode(['1'])],
    ['has a third member', encode(['1', id, 'x'])],
    ['is an object', encode({ createdAtMicros: '1', id })],
    ['has a number for its time', encode([1, id])],
    ['has a negative time', encode(['-1', id])],
    ['has a time beyond every calendar', encode(['9'.repeat(19), id])],
    ['has SQL for its time', encode(["1'; drop table media; --", id])],
    ['has an id that is none', encode(['1', 'short'])],
    ['has a NUL in its id, which Postgres refuses', encode(['1', `${id.slice(1)}\0`])],
    ['is null', encode(null)],
  ])('that %s is refused as the client’s mistake', (_what, cursor) => {
    expect(problemOf(() => readCursor(cursor))).toMatchObject({ code: 'invalid-request', status: 400 })
  })

  it('is refused without what was wrong inside, for it means nothing to its reader', () => {
    expect(problemOf(() => readCursor('%%%')).message).toBe(
      'cursor: is not a nextCursor value from this server',
    )
    expect(problemOf(() => readCursor(encode([1, id]))).message).toBe(
      'cursor: is not a nextCursor value from this server',
    )
  })
})

describe('input', () => {
  const Query = z.object({ limit: z.coerce.number().int().min(1).max(100).default(24) })

  it('is read by its schema, with defaults', () => {
    expect(readInput(Query, { limit: '7', unknown: 'x' })).toEqual({ limit: 7 })
    expect(readInput(Query, {})).toEqual({ limit: 24 })
  })

  it.each([
    [{ limit: '0' }, /^limit: /],
    [{ limit: '101' }, /^limit: /],
    [{ limit: '1.5' }, /^limit: /],
    [{ limit: 'many' }, /^limit: /],
    [{ limit: ['1', '2'] }, /^limit: /],
    ['text', /^The input is malformed\.$/],
  ])('%j is refused, naming where', (input, detail) => {
    const problem = problemOf(() => readInput(Query, input))
    expect(problem).toMatchObject({ code: 'invalid-request', status: 400 })
    expect(problem.message).toMatch(detail)
  })
})
