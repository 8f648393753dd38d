import type { DiskSpace } from '../../storage/disk/disk-space.ts'
import type { FileSystem } from '../../storage/disk/file-system.ts'
import { isLow, type Room } from '../../storage/disk/room.ts'

export type DiskReport = Room & {
  /** Content of the disk: uploads and renditions, or files of tools. */
  place: 'storage' | 'scratch'
  isLow: boolean
}

/** The disks that this server writes to. */
export type Disks = {
  /** The disk of uploads; undefined where they go to a bucket. */
  space: DiskSpace | undefined
  /** The disk of `DATA_DIR`, with the worker's scratch folders. */
  scratch: FileSystem
}

export const LOW_DISK: Record<DiskReport['place'], string> = {
  storage: 'The storage disk is nearly full, or will be when the open uploads are complete.',
  scratch: 'The disk of DATA_DIR is nearly full: processing may be delayed.',
}

/** Figures of each disk; without those that do not answer. Never fails. */
export async function lookAtDisks({ space, scratch }: Disks): Promise<DiskReport[]> {
  const [storage, rest] = await Promise.all([space?.room(), scratch.figures()])
  const rooms: [DiskReport['place'], Room | undefined][] = [
    ['storage', storage],
    ['scratch', rest && { ...rest, reservedBytes: 0 }],
  ]
  return rooms.flatMap(([place, room]) => (room ? [{ ...room, place, isLow: isLow(room) }] : []))
}
