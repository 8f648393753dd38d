import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { planStoryboard, storyboardMethod } from './storyboard-plan.ts'

const HD = { width: 1920, height: 1080, fps: 30, video_codec: 'h264' }
const MB = 1_000_000

describe('the plan of a storyboard', () => {
  it.each([
    { what: 'a clip', seconds: 2, plan: { intervalMs: 1000, count: 2, columns: 2 } },
    { what: 'a minute', seconds: 60, plan: { intervalMs: 2000, count: 30, columns: 10 } },
    { what: 'two hours', seconds: 7200, plan: { intervalMs: 72_000, count: 100, columns: 10 } },
    { what: 'one frame', seconds: 0.04, plan: { intervalMs: 1000, count: 1, columns: 1 } },
  ])('of $what has an interval by its duration', ({ seconds, plan }) => {
    const tile = { width: 160, height: 90 }
    expect(planStoryboard({ ...HD, duration_seconds: seconds })).toEqual({ ...plan, tile })
  })

  it('covers all of a video, in a picture that every decoder takes', () => {
    const side = fc.integer({ min: 1, max: 65_535 })
    fc.assert(
      fc.property(side, side, fc.double({ min: 0.001, max: 1e6, noNaN: true }), (width, height, seconds) => {
        const plan = planStoryboard({ width, height, duration_seconds: seconds })
        const { intervalMs = 0, count = 0, tile = { width: 0, height: 0 } } = plan ?? {}
        expect(count).toBeGreaterThanOrEqual(1)
        expect(count).toBeLessThanOrEqual(100)
        expect(intervalMs * count).toBeGreaterThanOrEqual(seconds * 1000 - 1)
        expect(tile.width).toBeLessThanOrEqual(160)
        expect(tile.height).toBeLessThanOrEqual(284)
        expect(Math.min(tile.width, tile.height)).toBeGreaterThanOrEqual(2)
      }),
    )
  })

  it.each([
    { way: 'all', what: 'a short small one', width: 640, height: 360, seconds: 10, size: MB },
    { way: 'key-frames', what: 'a minute', seconds: 60, size: 60 * MB },
    { way: 'seek', what: 'two hours', seconds: 7200, size: 500 * MB },
    { way: 'seek', what: 'a minute of key frames', seconds: 60, size: 300 * MB, video_codec: 'prores' },
  ] as const)('sees $what by: $way', ({ way, seconds, ...more }) => {
    const media = { ...HD, ...more, duration_seconds: seconds }
    expect(storyboardMethod(media, planStoryboard(media)?.count ?? 0)).toBe(way)
  })
})
