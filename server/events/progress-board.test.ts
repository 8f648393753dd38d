import { describe, expect, it } from 'vitest'
import type { Bus, ProgressTick } from '../../ledger/bus.ts'
import { ProgressBoard } from './progress-board.ts'

/** A board, and the bus that tells it. */
function boardWith(ticks: ProgressTick[]): ProgressBoard {
  let tell: Parameters<Bus['onMessage']>[0] = () => {}
  const bus: Pick<Bus, 'onMessage'> = {
    onMessage: (listener) => {
      tell = listener
      return () => {}
    },
  }
  const board = new ProgressBoard(bus as Bus)
  for (const tick of ticks) tell({ t: 'progress', ticks: [tick] })
  return board
}

const offsetAfter = (ticks: ProgressTick[], ledger = 0) =>
  boardWith(ticks).of({ id: 'u', offset: ledger, size: 100, state: 'open' }).offset

describe('the board of progress', () => {
  it('shows what was heard last', () => {
    expect(offsetAfter([['u', 10, 100, 0]])).toBe(10)
    expect(
      offsetAfter([
        ['u', 10, 100, 0],
        ['u', 30, 100, 0],
      ]),
    ).toBe(30)
  })

  it('shows what the ledger has where that is more', () => {
    expect(offsetAfter([['u', 10, 100, 0]], 20)).toBe(20)
  })

  it('does not go back to a request before, of which another node tells late', () => {
    expect(
      offsetAfter([
        ['u', 60, 100, 50],
        ['u', 50, 100, 0],
      ]),
    ).toBe(60)
  })

  it('goes back with a request that had to begin again where the one before had begun', () => {
    expect(
      offsetAfter([
        ['u', 60, 100, 50],
        ['u', 55, 100, 50],
      ]),
    ).toBe(55)
  })
})
