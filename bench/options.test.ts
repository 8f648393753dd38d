import { describe, expect, it } from 'vitest'
import { parseOptions, UsageError } from './options.ts'

describe('the options of the bench', () => {
  it('measure everything but the long case without any', () => {
    const options = parseOptions([])
    expect(options).toMatchObject({
      storages: ['disk', 's3'],
      rounds: null,
      isQuick: false,
      isComplete: true,
    })
    expect(options?.cases).toContain('one-patch')
    expect(options?.cases).not.toContain('long')
  })
  it('add the long case when asked', () => expect(parseOptions(['--long'])?.cases).toContain('long'))
  it.each([
    [['--quick']],
    [['--only', 'paced']],
    [['--storage', 'disk']],
    [['--before', 'x']],
    [['--peers', 'stock']],
    [['--set', 'DISK_SYNC=never']],
  ])('%j makes no report', (args) => expect(parseOptions(args)?.isComplete).toBe(false))
  it('name peers, in the order of a report', () => {
    expect(parseOptions([])?.peers).toBeNull()
    expect(parseOptions(['--peers', 'tusd,stock'])?.peers).toEqual(['stock', 'tusd'])
  })
  it('take settings of Landfall', () => {
    const { settings } = parseOptions(['--set', 'DISK_SYNC=never', '--set', 'S3_PREFIX=a=b/']) ?? {}
    expect(settings).toEqual({ DISK_SYNC: 'never', S3_PREFIX: 'a=b/' })
  })
  it.each([
    [['--only', 'nonsense']],
    [['--storage', 'tape']],
    [['--peers', 'nobody']],
    [['--peers', 'raw,nobody']],
    [['--rounds', '0']],
    [['--set', 'nonsense']],
    [['--nonsense']],
  ])('%j is refused', (args) => expect(() => parseOptions(args)).toThrow(UsageError))
  it('say so when help is wanted', () => expect(parseOptions(['--help'])).toBeUndefined())
})
