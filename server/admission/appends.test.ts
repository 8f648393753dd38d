import { describe, expect, it } from 'vitest'
import { Appends, maxAppends } from './appends.ts'

const MIB = 1024 * 1024
const config = { STORAGE: 'disk', S3_MEMORY_BUDGET: 256 * MIB, DATABASE_POOL: 10 } as const

describe('appends', () => {
  it('are bounded by memory and by connections', () => {
    expect(maxAppends(config, 64 * 1024 * MIB)).toBe(10_000)
    expect(maxAppends(config, 1024 * MIB)).toBe(4096)
    expect(maxAppends({ ...config, DATABASE_POOL: 2 }, 64 * 1024 * MIB)).toBe(2000)
    expect(maxAppends({ ...config, STORAGE: 's3' }, 64 * 1024 * MIB)).toBe(512)
  })

  it('are refused where there is no room, and of one owner where they have half', async () => {
    const appends = new Appends(4)
    const open = Promise.withResolvers<void>()
    const begin = (owner: string) => appends.run(owner, () => open.promise)
    const running = [begin('alice'), begin('alice')]
    const refusal = { code: 'unavailable', status: 503, headers: { 'Retry-After': '5' } }
    await expect(begin('alice')).rejects.toMatchObject(refusal)
    running.push(begin('bob'), begin('carol'))
    await expect(begin('bob')).rejects.toMatchObject(refusal)
    expect([appends.running, appends.refused]).toEqual([4, 2])
    open.resolve()
    await Promise.all(running)
    expect(appends.running).toBe(0)
  })

  it('make room whatever became of them', async () => {
    const appends = new Appends(2)
    for (let n = 0; n < 5; n++)
      await expect(appends.run('alice', () => Promise.reject(new Error('cut off')))).rejects.toThrow(
        'cut off',
      )
    expect([appends.running, appends.refused]).toEqual([0, 0])
  })
})
