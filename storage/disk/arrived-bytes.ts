import type { RunningClaim } from '../../ledger/disk-claims.ts'
import { inParallel } from '../../system/in-parallel.ts'
import type { DiskObjects } from './disk-objects.ts'

const SIDE_BY_SIDE = 8

/**
 * How many of the claimed bytes are in files already: those of uncommitted appends and of concatenations that are being
 * written. A file that does not answer counts as missing. Never fails.
 */
export async function arrivedBytes(
  objects: Pick<DiskObjects, 'sizeInTheMaking'>,
  running: readonly RunningClaim[],
): Promise<number> {
  let sum = 0
  await inParallel(running, SIDE_BY_SIDE, async ({ key, from, to }) => {
    const size = await objects.sizeInTheMaking(key).catch(() => 0)
    sum += Math.max(0, Math.min(size, to) - from)
  })
  return sum
}
