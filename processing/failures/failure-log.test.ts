import pg from 'pg'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { StorageUnavailable } from '../../storage/store/objects.ts'
import { type FailedJob, FailureLog } from './failure-log.ts'

let lines: { level: string; message: string; details: Record<string, unknown> }[] = []
let failures: FailureLog
beforeEach(() => {
  vi.useFakeTimers()
  lines = []
  const at = (level: string) => (details: object, message: string) =>
    void lines.push({ level, message, details: { ...details } })
  failures = new FailureLog({ warn: at('warn'), error: at('error') })
})
afterEach(() => void vi.useRealTimers())

const job = (change: Partial<FailedJob> = {}): FailedJob => ({
  id: 'job',
  name: 'remove-bytes',
  data: { uploadId: 'u' },
  retryCount: 0,
  retryLimit: 1000,
  ...change,
})

it('says of which job an attempt failed, and why', () => {
  const err = new Error('broken')
  failures.record(job(), err)
  failures.record(job({ name: 'process-media', data: { mediaId: 'm', size: 5 } }), err)
  expect(lines).toEqual([
    {
      level: 'error',
      message: 'a job has failed',
      details: { queue: 'remove-bytes', id: 'job', attempt: 1, uploadId: 'u', err },
    },
    {
      level: 'error',
      message: 'a job has failed',
      details: { queue: 'process-media', id: 'job', attempt: 1, mediaId: 'm', err },
    },
  ])
})

it('tells of a job that fails a thousand times when it begins to, at a growing distance, and when it is given up', () => {
  for (let retryCount = 0; retryCount <= 1000; retryCount++) {
    failures.record(job({ retryCount }), new StorageUnavailable())
    vi.advanceTimersByTime(60_000)
  }
  expect(lines.map(({ details }) => details.attempt)).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1001])
  expect(lines.at(-1)).toMatchObject({ level: 'error', message: 'a job has failed permanently' })
})

it('warns of what is away, as that is not the fault of the job', () => {
  const readOnly = new pg.DatabaseError('read-only', 1, 'error')
  readOnly.code = '25006'
  const refused = Object.assign(new Error('refused'), { code: 'ECONNREFUSED' })
  const away = [
    new StorageUnavailable(),
    readOnly,
    refused,
    new AggregateError([refused, readOnly]),
    new Error('of one owner', { cause: refused }),
  ]
  for (const error of away) failures.record(job(), error)
  failures.record(job(), new AggregateError([refused, new Error('broken')]))
  expect(lines.map(({ level }) => level)).toEqual(['warn', 'warn', 'warn', 'warn', 'warn', 'error'])
})

it('logs a bounded number of lines of a queue, says how many more there were, and all that are given up', () => {
  for (let i = 0; i < 5000; i++) failures.record(job({ id: `${i}`, retryLimit: 0 }), new Error('broken'))
  failures.record(job({ name: 'sweep-bytes' }), new Error('broken'))
  failures.record(job({ retryCount: 1000 }), new Error('broken'))
  expect(lines).toHaveLength(20 + 2)
  vi.advanceTimersByTime(60_000)
  expect(lines.slice(22)).toEqual([
    {
      level: 'error',
      message: 'more jobs of this queue have failed',
      details: { queue: 'remove-bytes', jobs: 4980 },
    },
  ])
})
