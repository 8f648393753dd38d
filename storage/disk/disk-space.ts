import type { Ledger } from '../../ledger/database.ts'
import { readDiskClaims } from '../../ledger/disk-claims.ts'
import { arrivedBytes } from './arrived-bytes.ts'
import type { DiskObjects } from './disk-objects.ts'
import { type FileSystem, within } from './file-system.ts'
import { type Room, roomIn } from './room.ts'
import { scratchToCome } from './scratch-claims.ts'

/** There is no room for so many bytes. */
export const NO_ROOM = { kind: 'no-room' } as const
export type NoRoom = typeof NO_ROOM

/**
 * Claims room for so many bytes; false where that has to be refused, or cannot be decided at once. Waits for nothing,
 * so a transaction may call it.
 */
export type Claim = (bytes: number) => boolean

export type EntranceOptions<Result> = {
  /** Asked first where room is scarce: a result that says why nothing may be entered whatever room there is. */
  refusal?: () => Promise<Result | undefined>
  /** Whether a result says that nothing was entered. */
  isRefused?: (result: Result) => boolean
}

const KEPT_MS = 1_000
/** A file system that hangs keeps nobody waiting for longer. */
const PATIENCE_MS = 1_000
/** How often something may turn out to need more room than it said a moment before. */
const ATTEMPTS = 3
/**
 * What was found a moment ago is good enough for what takes, with all that was entered since, no more of the room than
 * one in so many: other nodes enter as well, and none sees at once what another does.
 */
const SMALL_PART = 16

type Entry = {
  bytes: number
  /** Undefined while it is undecided whether it enters the ledger. */
  enteredAt: number | undefined
  decided: PromiseWithResolvers<void>
}

/** When it began, and what it found; undefined where nobody says. */
type Look = { at: number; room: Room | undefined }

export type DiskSpaceOptions = {
  db: Ledger
  fileSystem: Pick<FileSystem, 'figures'>
  objects: Pick<DiskObjects, 'sizeInTheMaking'>
  /** Where workers of this disk have their scratch folders. */
  scratch: string
}

/**
 * The room that the disk has for new uploads and scratch folders: what is free, less what is still to come for those
 * uploads that were accepted by any node, by the ledger, and to those folders that any worker has made. Of two that this node lets in at a time, each counts for the other; but none is refused
 * because of another that may be refused itself. Two nodes can both give away the same room only within the
 * milliseconds that one look takes, and no more than it was then.
 */
export class DiskSpace {
  readonly #options: DiskSpaceOptions
  readonly #entries = new Set<Entry>()
  #known: Look | undefined
  #looking: Promise<Room | undefined> | undefined
  /** Those that need a decision about scarce room get it one after the other. */
  #lastInLine: Promise<unknown> = Promise.resolve()
  #inLine = 0

  constructor(options: DiskSpaceOptions) {
    this.#options = options
  }

  /** What was found a second ago or later. Never fails: undefined where nobody says, and then nothing is refused. */
  async room(): Promise<Room | undefined> {
    const known = this.#recent()
    if (known?.room) return known.room
    this.#looking ??= this.#look()
    return await this.#looking
  }

  /**
   * Enters something into the ledger, or makes a scratch folder, that needs room on the disk. `work` claims the bytes just before that, and gives
   * `NO_ROOM` where it may not have them, with nothing entered; it may be run again then. Until the ledger is seen to
   * have what was entered, it counts all the same.
   */
  async enter<Result>(
    work: (claim: Claim) => Promise<Result | NoRoom>,
    options: EntranceOptions<Result> = {},
  ): Promise<Result | NoRoom> {
    let entry: Entry | undefined
    let lacked: number | undefined
    for (let attempt = 1; ; attempt++) {
      const claim: Claim = (bytes) => {
        if (entry && bytes <= entry.bytes) entry.bytes = bytes
        else if (!entry && this.#hasPlentyFor(bytes)) entry = this.#open(bytes)
        else lacked = bytes
        return lacked === undefined
      }
      lacked = undefined
      const result = await this.#decide(
        () => work(claim),
        () => entry,
        options,
      )
      if (lacked === undefined || attempt === ATTEMPTS) return result
      const refusal = await options.refusal?.()
      if (refusal !== undefined) return refusal
      entry = await this.#claimScarce(lacked)
      if (!entry) return NO_ROOM
    }
  }

  /** Whether bytes can be taken that nobody has declared. */
  async hasAny(): Promise<boolean> {
    const known = await this.room()
    if (known === undefined || roomIn(known) - this.#promised() > 0) return true
    if (roomIn(known) <= 0) return false
    // What was promised since may be in the ledger now, or was refused.
    const room = await this.#lookAnew()
    return room === undefined || roomIn(room) > 0
  }

  async #decide<Result>(
    work: () => Promise<Result | NoRoom>,
    entryOf: () => Entry | undefined,
    { isRefused }: EntranceOptions<Result>,
  ): Promise<Result | NoRoom> {
    let isEntered = true
    try {
      const result = await work()
      isEntered = !isNoRoom(result) && !isRefused?.(result)
      return result
    } finally {
      // Also where it failed: the answer may have been lost, and not what was asked for.
      const entry = entryOf()
      if (entry && !isEntered) this.#entries.delete(entry)
      if (entry) entry.enteredAt = performance.now()
      entry?.decided.resolve()
    }
  }

  #recent(): Look | undefined {
    return this.#known && performance.now() - this.#known.at <= KEPT_MS ? this.#known : undefined
  }

  /** Whether it needs no other look to give away so much. */
  #hasPlentyFor(bytes: number): boolean {
    const known = this.#recent()
    if (!known || this.#inLine > 0) return false
    return !known.room || (this.#promised() + bytes) * SMALL_PART <= roomIn(known.room)
  }

  async #claimScarce(bytes: number): Promise<Entry | undefined> {
    const room = await this.#lookAnew()
    // Whatever becomes of the others.
    if (room && bytes > roomIn(room)) return undefined
    this.#inLine++
    const turn = this.#lastInLine.then(() => this.#claimInTurn(bytes))
    this.#lastInLine = turn.catch(() => {})
    try {
      return await turn
    } finally {
      this.#inLine--
    }
  }

  async #claimInTurn(bytes: number): Promise<Entry | undefined> {
    for (;;) {
      const room = await this.#lookAnew()
      if (room && bytes > roomIn(room)) return undefined
      // Nothing may come between this question and the entry.
      if (!room || this.#promised() + bytes <= roomIn(room)) return this.#open(bytes)
      // The others may be refused, or the look has seen them. Nobody else is let in before that is clear.
      await Promise.all([...this.#entries].map(({ decided }) => decided.promise))
    }
  }

  #open(bytes: number): Entry {
    const entry: Entry = { bytes, enteredAt: undefined, decided: Promise.withResolvers() }
    this.#entries.add(entry)
    return entry
  }

  /** What was let in and the last look may have missed. */
  #promised(): number {
    let sum = 0
    for (const { bytes } of this.#entries) sum += bytes
    return sum
  }

  /** A look that begins from now on, which others share who ask meanwhile. */
  async #lookAnew(): Promise<Room | undefined> {
    await this.#looking
    this.#looking ??= this.#look()
    return await this.#looking
  }

  async #look(): Promise<Room | undefined> {
    const { db, fileSystem, objects, scratch } = this.#options
    const at = performance.now()
    try {
      // One that hangs is asked no more questions.
      const isThere = (await fileSystem.figures()) !== undefined
      // In this order: what is written between two of these questions counts twice, and nothing counts as free that is not.
      const { bytes, running } = await readDiskClaims(db)
      const arrived = isThere ? await within(arrivedBytes(objects, running), PATIENCE_MS) : 0
      const toScratch = isThere ? await within(scratchToCome(scratch), PATIENCE_MS) : 0
      const figures = await fileSystem.figures(0)
      for (const entry of this.#entries)
        if (entry.enteredAt !== undefined && entry.enteredAt <= at) this.#entries.delete(entry)
      this.#known = {
        at,
        room: figures && { ...figures, reservedBytes: bytes - (arrived ?? 0) + (toScratch ?? 0) },
      }
    } catch {
      // The ledger does not answer: the statement that enters something will say so.
      this.#known = { at, room: undefined }
    } finally {
      this.#looking = undefined
    }
    return this.#known?.room
  }
}

const isNoRoom = (result: unknown): result is NoRoom => result === NO_ROOM
