import type { DiskSpace } from '../../storage/disk/disk-space.ts'
import type { FileSystem } from '../../storage/disk/file-system.ts'
import { isLow, type Room } from '../../storage/disk/room.ts'

export type DiskReport = Room & {
  /** What lies there: the bytes of uploads and renditions, or files of tools that work on them. */
  place: 'storage' | 'scratch'
  isLow: boolean
}

/** The disks that this server writes to. */
export type Disks = {
  /** That of uploads; undefined where their bytes go to a bucket. */
  space: DiskSpace | undefined
  /** That of `DATA_DIR`, where the worker has its scratch folders. */
  scratch: FileSystem
}

export const LOW_DISK: Record<DiskReport['place'], string> = {
  storage: 'The storage disk is nearly full, or will be when the open uploads are complete.',
  scratch: 'The disk of DATA_DIR is nearly full: processing may be delayed.',
}

/** What is known of each; those that do not say are left out. Never fails. */
export async function lookAtDisks({ space, scratch }: Disks): Promise<DiskReport[]> {
  const [storage, rest] = await Promise.all([space?.room(), scratch.figures()])
  const rooms: [DiskReport['place'], Room | undefined][] = [
    ['storage', storage],
    ['scratch', rest && { ...rest, reservedBytes: 0 }],
  ]
  return rooms.flatMap(([place, room]) => (room ? [{ ...room, place, isLow: isLow(room) }] : []))
}
