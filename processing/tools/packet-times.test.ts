import { describe, expect, it } from 'vitest'
import { lengthOfAll, PacketClock, type PacketTime } from './packet-times.ts'

const packets = (count: number, from: number, apart: number, duration = apart): PacketTime[] =>
  Array.from({ length: count }, (_, n) => ({ start: from + n * apart, duration }))

function read(times: readonly (PacketTime | undefined)[]) {
  const clock = new PacketClock()
  for (const time of times) clock.add(time)
  return clock.read()
}

describe('the length of a stream', () => {
  it.each<[string, (PacketTime | undefined)[], number]>([
    ['to the end of its last packet', packets(10, 0, 0.1), 1],
    ['from its first packet', packets(10, 5000, 0.1), 1],
    ['with packets that do not tell how long they last', packets(10, 0, 0.1, 0), 1],
    [
      'stored in another order than shown',
      [0, 0.3, 0.1, 0.2].map((start) => ({ start, duration: 0.1 })),
      0.4,
    ],
    ['with packets that are not played', [undefined, ...packets(10, 0, 0.1), undefined], 1],
    ['with a picture for hours, several times', packets(10, 0, 7200, 0), 64_800],
    ['with a frame for minutes', packets(3, 0, 600, 0), 1800],
    ['whose clock begins again', [...packets(10, 50, 0.1), ...packets(10, 0, 0.1)], 2],
    [
      'of three recordings, each by another clock',
      [0, 20_000, 90_000].flatMap((at) => packets(100, at, 0.1)),
      30,
    ],
    ['whose clock jumps ahead by a day', [...packets(10, 0, 0.1), ...packets(10, 95_443, 0.1)], 2],
    ['of a single packet without a duration', packets(1, 3, 0), 0],
    ['without timestamps', [undefined, undefined], 0],
  ])('is measured %s', (_how, times, seconds) => {
    expect(read(times).seconds).toBeCloseTo(seconds, 6)
    expect(read(times).packets).toBe(times.length)
  })

  it('is that of all streams together, without what only prepares the decoder', () => {
    const stream = (start: number | undefined, seconds: number) => ({ packets: 1, start, seconds })
    expect(lengthOfAll([stream(0, 10), stream(0.5, 9)])).toEqual({ fromFirst: 10, fromZero: 10 })
    expect(lengthOfAll([stream(-0.007, 2.007)])?.fromFirst).toBeCloseTo(2, 6)
    expect(lengthOfAll([stream(100, 10), stream(101, 10)])).toEqual({ fromFirst: 11, fromZero: 111 })
    expect(lengthOfAll([stream(undefined, 0)])).toBeUndefined()
    expect(lengthOfAll([])).toBeUndefined()
  })
})
