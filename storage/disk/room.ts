import type { FileSystemFigures } from './file-system.ts'

const MIB = 1024 * 1024
const GIB = 1024 * MIB
const MIN_HEADROOM_BYTES = 64 * MIB
const MIN_FREE_FILES = 1000
const MOST_LOW_BYTES = 20 * GIB

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

/** Whether an operator should make room: less than 5 % (or 20 GiB) is free, or less than what is to come. */
export function isLow(room: Room): boolean {
  const { freeBytes, totalBytes } = room
  return freeBytes < Math.min(totalBytes / 20, MOST_LOW_BYTES) || roomIn(room) < 0
}

const lacksFiles = ({ freeFiles, totalFiles }: FileSystemFigures): boolean =>
  freeFiles !== null && totalFiles !== null && freeFiles < Math.min(MIN_FREE_FILES, totalFiles / 100)
