import type { FileSystemFigures } from './file-system.ts'
import type { ScratchFigures } from './scratch-claims.ts'

const MIB = 1024 * 1024
const GIB = 1024 * MIB
const MIN_HEADROOM_BYTES = 64 * MIB
const MIN_FREE_FILES = 1000
const MAX_LOW_BYTES = 20 * GIB
/** Share of the headroom, which is also for files of tools, that scratch folders leave free. */
const KEPT_OF_HEADROOM = 1 / 8
/** Share of the space without scratch folders that they may use together. */
const SCRATCH_SHARE = 1 / 2

/** Figures of one moment. */
export type Room = FileSystemFigures & {
  /** Bytes still to come for accepted uploads. */
  reservedBytes: number
}

/**
 * Bytes that uploads may not use: they are for the database, renditions and files of tools. 64 MiB or 1 % of the file
 * system, whichever is more; at most an eighth of a small one.
 */
export const headroomOf = ({ totalBytes }: Pick<FileSystemFigures, 'totalBytes'>): number =>
  Math.min(Math.max(MIN_HEADROOM_BYTES, totalBytes / 100), totalBytes / 8)

/** Bytes that a new upload may declare; negative where the disk is too full. */
export function roomIn(room: Room): number {
  return lacksFiles(room) ? -1 : room.freeBytes - headroomOf(room) - room.reservedBytes
}

/**
 * Bytes that a new scratch folder may claim: half of what is free, less the claims of others. Scratch folders may use
 * the headroom, and bytes that uploads have only declared do not count, so that received files can be processed.
 */
export function scratchRoomIn(room: FileSystemFigures, { written, toCome }: ScratchFigures): number {
  if (lacksFiles(room)) return -1
  return maxScratchOf(room, room.freeBytes + written) - written - toCome
}

/** Most bytes that a scratch folder can have on an empty disk. */
export const maxScratchIn = (room: FileSystemFigures): number => maxScratchOf(room, room.totalBytes)

const maxScratchOf = (room: FileSystemFigures, freeBytes: number): number =>
  (freeBytes - KEPT_OF_HEADROOM * headroomOf(room)) * SCRATCH_SHARE

/** Whether an operator should free space: less than 5 % (or 20 GiB) is free, or less than what is to come. */
export function isLow(room: Room): boolean {
  const { freeBytes, totalBytes } = room
  return freeBytes < Math.min(totalBytes / 20, MAX_LOW_BYTES) || roomIn(room) < 0
}

const lacksFiles = ({ freeFiles, totalFiles }: FileSystemFigures): boolean =>
  freeFiles !== null && totalFiles !== null && freeFiles < Math.min(MIN_FREE_FILES, totalFiles / 100)
