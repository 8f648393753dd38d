import type { Ledger } from '../../ledger/database.ts'
import { bytesToCome } from '../../ledger/disk-claims.ts'
import type { FileSystem, FileSystemFigures } from './file-system.ts'

/** What was found at one time. */
export type Room = FileSystemFigures & {
  /** Bytes that are still to come for what was accepted. */
  reservedBytes: number
}

/** There is no room for so many bytes. */
export const NO_ROOM = { kind: 'no-room' } as const
export type NoRoom = typeof NO_ROOM

const KEPT_MS = 1_000
const MIB = 1024 * 1024
const GIB = 1024 * MIB
const MIN_HEADROOM_BYTES = 64 * MIB
const MIN_FREE_FILES = 1000
const MOST_LOW_BYTES = 20 * GIB
/**
 * What was found a moment ago is good enough for what takes, with all that was entered since, no more of the room than
 * one in so many: other nodes enter as well, and none sees at once what another does.
 */
const SMALL_PART = 16

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

type Entry = { bytes: number; enteredAt: number | undefined }

export type DiskSpaceOptions = { db: Ledger; fileSystem: FileSystem }

/**
 * The room that the disk has for new uploads: what is free, less what is still to come for those that were accepted by
 * any node, by the ledger. Of two that this node lets in at a time, each counts for the other. Two nodes can both give
 * away the same room only within the milliseconds that one look takes, and no more than it was then.
 */
export class DiskSpace {
  readonly #options: DiskSpaceOptions
  readonly #entries = new Set<Entry>()
  #known: { room: Room; at: number } | undefined
  #looking: Promise<Room | undefined> | undefined

  constructor(options: DiskSpaceOptions) {
    this.#options = options
  }

  /** What was found a second ago or later. Never fails: undefined where nobody says, and then nothing is refused. */
  async room(): Promise<Room | undefined> {
    if (this.#known && performance.now() - this.#known.at <= KEPT_MS) return this.#known.room
    this.#looking ??= this.#look()
    return await this.#looking
  }

  /**
   * Enters something into the ledger for which so many bytes are to come, if they have room. Until the ledger is seen
   * to have it, it counts all the same.
   */
  async enter<Result>(bytes: number, work: () => Promise<Result>): Promise<Result | NoRoom> {
    const entry = await this.#claim(bytes)
    if (!entry) return NO_ROOM
    try {
      return await work()
    } finally {
      // Also where it failed: the answer may have been lost, and not what was asked for.
      entry.enteredAt = performance.now()
    }
  }

  /** Whether bytes can be taken that nobody has declared. */
  async hasAny(): Promise<boolean> {
    const room = await this.room()
    return room === undefined || roomIn(room) - this.#promised() > 0
  }

  async #claim(bytes: number): Promise<Entry | undefined> {
    const known = await this.room()
    if (known && (this.#promised() + bytes) * SMALL_PART > roomIn(known)) {
      const room = await this.#lookAnew()
      if (room && this.#promised() + bytes > roomIn(room)) return undefined
    }
    // Nothing may come between the last question and this.
    const entry: Entry = { bytes, enteredAt: undefined }
    this.#entries.add(entry)
    return entry
  }

  /** What was let in and the last look may have missed. */
  #promised(): number {
    let sum = 0
    for (const { bytes } of this.#entries) sum += bytes
    return sum
  }

  /** A look that begins from now on, which whoever asks meanwhile shares. */
  async #lookAnew(): Promise<Room | undefined> {
    await this.#looking
    this.#looking ??= this.#look()
    return await this.#looking
  }

  async #look(): Promise<Room | undefined> {
    const { db, fileSystem } = this.#options
    const at = performance.now()
    try {
      // In this order: bytes that arrive between the two are counted twice rather than not at all.
      const reservedBytes = await bytesToCome(db)
      const figures = await fileSystem.figures(0)
      for (const entry of this.#entries)
        if (entry.enteredAt !== undefined && entry.enteredAt <= at) this.#entries.delete(entry)
      this.#known = figures && { room: { ...figures, reservedBytes }, at }
    } catch {
      // The ledger does not answer: whoever wants to enter something will hear that from itself.
      this.#known = undefined
    } finally {
      this.#looking = undefined
    }
    return this.#known?.room
  }
}
