import type { statfs } from 'node:fs/promises'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { FileSystem } from './file-system.ts'

type Answer = { bavail: number; blocks: number; bsize: number; ffree: number; files: number }
const ANSWER: Answer = { bavail: 10, blocks: 100, bsize: 4096, ffree: 5, files: 50 }
const FIGURES = { freeBytes: 40_960, totalBytes: 409_600, freeFiles: 5, totalFiles: 50 }

function asked(answer: () => Promise<Answer>) {
  const calls: string[] = []
  const ask = async (path: string) => {
    calls.push(path)
    return await answer()
  }
  return { calls, fileSystem: new FileSystem('/data', ask as unknown as typeof statfs) }
}

describe('figures of a file system', () => {
  it('are asked for once a second, however many want to know', async () => {
    const { calls, fileSystem } = asked(async () => ANSWER)
    expect(await Promise.all([fileSystem.figures(), fileSystem.figures()])).toEqual([FIGURES, FIGURES])
    expect(await fileSystem.figures()).toEqual(FIGURES)
    expect(calls).toEqual(['/data'])
    expect(await fileSystem.figures(0)).toEqual(FIGURES)
    expect(calls).toHaveLength(2)
  })

  it('say nothing of files where there is no limit of them', async () => {
    const { fileSystem } = asked(async () => ({ ...ANSWER, ffree: 0, files: 0 }))
    expect(await fileSystem.figures()).toEqual({ ...FIGURES, freeFiles: null, totalFiles: null })
  })

  it('are unknown where it does not say, and are asked for again', async () => {
    let fails = true
    const { calls, fileSystem } = asked(async () => {
      if (fails) throw new Error('away')
      return ANSWER
    })
    expect(await fileSystem.figures()).toBeUndefined()
    fails = false
    expect(await fileSystem.figures()).toEqual(FIGURES)
    expect(calls).toHaveLength(2)
  })

  it('keep nobody for longer than a second where it hangs, and no second call hangs beside the first', async () => {
    const { promise, resolve } = Promise.withResolvers<Answer>()
    const { calls, fileSystem } = asked(() => promise)
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
    onTestFinished(() => void vi.useRealTimers())
    const first = fileSystem.figures()
    await vi.advanceTimersByTimeAsync(1_000)
    expect(await first).toBeUndefined()
    // While no time passes.
    expect(await fileSystem.figures()).toBeUndefined()
    expect(calls).toHaveLength(1)
    vi.useRealTimers()
    resolve(ANSWER)
    await expect.poll(() => fileSystem.figures()).toEqual(FIGURES)
  })
})
