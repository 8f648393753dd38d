import { describe, expect, it } from 'vitest'
import { planHls } from './hls-plan.ts'

/** Of so high a bit rate that it bounds nothing. */
const LARGE = { size: 1e9, duration_seconds: 60 }
const HEIGHTS = [1080, 720, 480, 360]
const sizes = (width: number, height: number, heights: readonly number[] = HEIGHTS) =>
  planHls({ width, height, fps: 30, ...LARGE }, heights).map(
    (one) => `${one.number}: ${one.width}x${one.height}`,
  )

describe('the HLS renditions of a video', () => {
  it('are those heights that it has itself, largest first', () => {
    expect(sizes(1920, 1080)).toEqual(['1: 1920x1080', '2: 1280x720', '3: 852x480', '4: 640x360'])
    expect(sizes(1280, 720, [360, 1080, 720])).toEqual(['1: 1280x720', '2: 640x360'])
    expect(sizes(3840, 2160)).toHaveLength(4)
  })

  it('is one as it is where it has none of them', () => {
    expect(sizes(320, 240)).toEqual(['1: 320x240'])
    expect(sizes(321, 241)).toEqual(['1: 320x240'])
    expect(sizes(16, 1)).toEqual(['1: 16x2'])
  })

  it('go by the shorter side of one that stands upright', () => {
    expect(sizes(1080, 1920)).toEqual(['1: 1080x1920', '2: 720x1280', '3: 480x852', '4: 360x640'])
  })

  it('have even sides whatever the shape', () => {
    for (const [width, height] of [
      [1919, 1079],
      [1440, 613],
      [853, 480],
      [607, 1080],
    ] as const) {
      const plan = planHls({ width, height, fps: 30, ...LARGE }, HEIGHTS)
      expect(plan.length).toBeGreaterThan(0)
      for (const one of plan) {
        expect([one.width % 2, one.height % 2]).toEqual([0, 0])
        expect(one.width / one.height).toBeCloseTo(width / height, 1)
        expect(one.width).toBeLessThanOrEqual(width)
      }
    }
  })

  it('may take fewer bits the smaller they are, and more where there are many frames', () => {
    const rates = planHls({ width: 1920, height: 1080, fps: 25, ...LARGE }, HEIGHTS).map(
      (one) => one.maxBitrate,
    )
    expect(rates).toEqual([5_000_000, expect.closeTo(2_700_000, -5), expect.closeTo(1_500_000, -5), 962_000])
    const [fast] = planHls({ width: 1920, height: 1080, fps: 60, ...LARGE }, HEIGHTS)
    expect(fast?.maxBitrate).toBe(7_500_000)
  })

  it('take no more bits than three times those of the source, and what pictures of their size need at least', () => {
    const still = { width: 1920, height: 1080, fps: 25, size: 10_000_000, duration_seconds: 7200 }
    const rates = (size: number) => planHls({ ...still, size }, [1080, 360]).map((one) => one.maxBitrate)
    expect(rates(still.size)).toEqual([312_500, 60_125])
    expect(rates(7200 * 100_000)).toEqual([2_400_000, 962_000])
  })

  it('are none of what has no size', () => {
    expect(planHls({ width: null, height: null, fps: null, ...LARGE }, HEIGHTS)).toEqual([])
  })
})
