import type { FileSystemFigures } from './file-system.ts'
import type { ScratchFigures } from './scratch-claims.ts'

const MIB = 1024 * 1024
const GIB = 1024 * MIB
const MIN_HEADROOM_BYTES = 64 * MIB
const MIN_FREE_FILES = 1000
const MAX_LOW_BYTES = 20 * GIB
/** Of the headroom, which is there for files of tools as well, scratch folders leave this: no disk is to be full. */
const KEPT_OF_HEADROOM = 1 / 8
/** Of the room that there would be without scratch folders, all of them together have no more. */
const SCRATCH_SHARE = 1 / 2

/** What was found at one time. */
export type Room = FileSystemFigures & {
  /** Bytes that are still to come for what was accepted. */
  reservedBytes: number
}

/**
 * Bytes that uploads are not given, for what else lies on the disk: the database, renditions, files of tools. 64 MiB
 * or 1 % of the file system, whichever is more; of a small one an eighth at most.
 */
export const headroomOf = ({ totalBytes }: Pick<FileSystemFigures, 'totalBytes'>): number =>
  Math.min(Math.max(MIN_HEADROOM_BYTES, totalBytes / 100), totalBytes / 8)

/** Bytes that a new upload may declare; below zero where the disk is fuller than it should be. */
export function roomIn(room: Room): number {
  return lacksFiles(room) ? -1 : room.freeBytes - headroomOf(room) - room.reservedBytes
}

/**
 * Bytes that a new scratch folder may claim: half of what is free, less what such folders have. The headroom is there for
 * them, and what uploads have only declared keeps no file that was received from being ready.
 */
export function scratchRoomIn(room: FileSystemFigures, { written, toCome }: ScratchFigures): number {
  if (lacksFiles(room)) return -1
  return maxScratchOf(room, room.freeBytes + written) - written - toCome
}

/** Bytes that a scratch folder can never have, whatever goes from the disk, are more than this. */
export const maxScratchIn = (room: FileSystemFigures): number => maxScratchOf(room, room.totalBytes)

const maxScratchOf = (room: FileSystemFigures, freeBytes: number): number =>
  (freeBytes - KEPT_OF_HEADROOM * headroomOf(room)) * SCRATCH_SHARE

/** Whether an operator should make room: less than 5 % (or 20 GiB) is free, or less than what is to come. */
export function isLow(room: Room): boolean {
  const { freeBytes, totalBytes } = room
  return freeBytes < Math.min(totalBytes / 20, MAX_LOW_BYTES) || roomIn(room) < 0
}

const lacksFiles = ({ freeFiles, totalFiles }: FileSystemFigures): boolean =>
  freeFiles !== null && totalFiles !== null && freeFiles < Math.min(MIN_FREE_FILES, totalFiles / 100)
