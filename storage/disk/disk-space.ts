import type { Ledger } from '../../ledger/database.ts'
import { readDiskClaims } from '../../ledger/disk-claims.ts'
import { TurnRefused } from '../../ledger/turns.ts'
import { arrivedBytes } from './arrived-bytes.ts'
import type { DiskObjects } from './disk-objects.ts'
import { type FileSystem, within } from './file-system.ts'
import { maxScratchIn, type Room, roomIn, scratchRoomIn } from './room.ts'
import { ScratchClaims, type ScratchFigures } from './scratch-claims.ts'

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
const LOOK_TIMEOUT_MS = 1_000
/** So long is waited for others of whom it is not clear whether they are let in; they may wait for their owner's turn. */
const LINE_MS = 5_000
/** How often something may turn out to need more room than it said a moment before. */
const ATTEMPTS = 3
/**
 * What was found a moment ago is good enough for what takes, with all that was entered since, no more of the room than
 * one in so many: other nodes enter as well, and none sees at once what another does.
 */
const SMALL_PART = 16

/** What room is for: see `roomIn` and `scratchRoomIn`. */
type Purpose = 'upload' | 'scratch'

type Entry = {
  purpose: Purpose
  bytes: number
  /** Undefined while it is undecided whether it enters the ledger. */
  enteredAt: number | undefined
  decided: PromiseWithResolvers<void>
}

/** When it began, and what it found; undefined where the file system or the ledger did not answer. */
type Look = { at: number; room: Found | undefined }
type Found = Room & { scratch: ScratchFigures }

export type DiskSpaceOptions = {
  db: Ledger
  fileSystem: Pick<FileSystem, 'figures'>
  objects: Pick<DiskObjects, 'sizeInTheMaking'>
  /** Where workers of this disk have their scratch folders. */
  scratch: string
  /** Told once of what cannot be looked at there. */
  onError?: (error: unknown) => void
  /** Milliseconds for which one waits for others; `LINE_MS` without it. */
  lineMs?: number
}

/**
 * The room that the disk has for new uploads: what is free, less what is still to come for those uploads that were
 * accepted by any node, by the ledger, and to those scratch folders that any worker has made; and that for such
 * folders, which take no account of what uploads have only declared. Of two that this node lets in at a time, each
 * counts for the other; but none is refused because of another that may be refused itself. Two nodes can both give
 * away the same room only within the milliseconds that one look takes, and no more than it was then.
 */
export class DiskSpace {
  readonly #options: DiskSpaceOptions
  readonly #scratch: ScratchClaims
  readonly #entries = new Set<Entry>()
  #known: Look | undefined
  #looking: Promise<Found | undefined> | undefined
  /** Those that need a decision about scarce room get it one after the other. */
  #lastInLine: Promise<unknown> = Promise.resolve()
  #inLine = 0

  constructor(options: DiskSpaceOptions) {
    this.#options = options
    this.#scratch = new ScratchClaims(options.scratch, options.onError)
  }

  /** What was found a second ago or later. Never fails: undefined where nobody says, and then nothing is refused. */
  async room(): Promise<Room | undefined> {
    const known = this.#recent()
    if (known?.room) return known.room
    this.#looking ??= this.#look()
    return await this.#looking
  }

  /**
   * Enters something into the ledger that needs room on the disk. `work` claims the bytes just before that, and gives
   * `NO_ROOM` where it may not have them, with nothing entered; it may be run again then. Until the ledger is seen to
   * have what was entered, it counts all the same. Fails with `TurnRefused` where it is not clear in time what becomes of others.
   */
  async enter<Result>(
    work: (claim: Claim) => Promise<Result | NoRoom>,
    options: EntranceOptions<Result> = {},
  ): Promise<Result | NoRoom> {
    return await this.#enter('upload', work, options)
  }

  /**
   * Makes a scratch folder into which so many bytes may come. `no-room`: there is none at the moment, and nothing was
   * made; `never`: this file system has less even when it is empty.
   */
  async enterScratch(bytes: number, make: () => Promise<void>): Promise<'made' | 'no-room' | 'never'> {
    const attempt = async (claim: Claim) => {
      if (!claim(bytes)) return NO_ROOM
      await make()
      return 'made' as const
    }
    const result = await this.#enter('scratch', attempt, {}).catch((error: unknown) => {
      if (error instanceof TurnRefused) return NO_ROOM
      throw error
    })
    if (result !== NO_ROOM) return 'made'
    const room = await this.room()
    return room && bytes > maxScratchIn(room) ? 'never' : 'no-room'
  }

  async #enter<Result>(
    purpose: Purpose,
    work: (claim: Claim) => Promise<Result | NoRoom>,
    options: EntranceOptions<Result>,
  ): Promise<Result | NoRoom> {
    let entry: Entry | undefined
    let lacked: number | undefined
    for (let attempt = 1; ; attempt++) {
      const claim: Claim = (bytes) => {
        if (entry && bytes <= entry.bytes) entry.bytes = bytes
        else if (!entry && this.#hasPlentyFor(bytes, purpose)) entry = this.#open(bytes, purpose)
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
      entry = await this.#claimScarce(lacked, purpose)
      if (!entry) return NO_ROOM
    }
  }

  /** Whether bytes can be taken that nobody has declared. */
  async hasAny(): Promise<boolean> {
    const known = await this.room()
    if (known === undefined || roomIn(known) - this.#promised('upload') > 0) return true
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
  #hasPlentyFor(bytes: number, purpose: Purpose): boolean {
    const known = this.#recent()
    if (!known || this.#inLine > 0) return false
    return !known.room || (this.#promised(purpose) + bytes) * SMALL_PART <= roomFor(purpose, known.room)
  }

  async #claimScarce(bytes: number, purpose: Purpose): Promise<Entry | undefined> {
    const until = performance.now() + (this.#options.lineMs ?? LINE_MS)
    const room = await this.#lookAnew()
    // Whatever becomes of the others.
    if (room && bytes > roomFor(purpose, room)) return undefined
    this.#inLine++
    const turn = this.#lastInLine.then(() => this.#claimInTurn(bytes, purpose, until))
    this.#lastInLine = turn.catch(() => {})
    try {
      return await turn
    } finally {
      this.#inLine--
    }
  }

  async #claimInTurn(bytes: number, purpose: Purpose, until: number): Promise<Entry | undefined> {
    for (let leftMs = until - performance.now(); leftMs > 0; leftMs = until - performance.now()) {
      const room = await this.#lookAnew()
      if (room && bytes > roomFor(purpose, room)) return undefined
      // Nothing may come between this question and the entry.
      if (!room || this.#promised(purpose) + bytes <= roomFor(purpose, room))
        return this.#open(bytes, purpose)
      // The others may be refused, or the look has seen them. Nobody else is let in before that is clear.
      const others = this.#entriesFor(purpose).map(({ decided }) => decided.promise)
      await within(Promise.all(others), until - performance.now())
    }
    throw new TurnRefused('it was not clear in time whether others take the room on the disk')
  }

  #open(bytes: number, purpose: Purpose): Entry {
    const entry: Entry = { purpose, bytes, enteredAt: undefined, decided: Promise.withResolvers() }
    this.#entries.add(entry)
    return entry
  }

  /** Those that take something of the room for this: of that for scratch folders, such folders only. */
  #entriesFor(purpose: Purpose): Entry[] {
    return [...this.#entries].filter((entry) => purpose === 'upload' || entry.purpose === 'scratch')
  }

  /** What was let in and the last look may have missed. */
  #promised(purpose: Purpose): number {
    return this.#entriesFor(purpose).reduce((sum, { bytes }) => sum + bytes, 0)
  }

  /** A look that begins from now on, which others share who ask meanwhile. */
  async #lookAnew(): Promise<Found | undefined> {
    await this.#looking
    this.#looking ??= this.#look()
    return await this.#looking
  }

  async #look(): Promise<Found | undefined> {
    const { db, fileSystem, objects } = this.#options
    const at = performance.now()
    try {
      // One that hangs is asked no more questions.
      const before = await fileSystem.figures()
      const isThere = before !== undefined
      // In this order: what is written between two of these questions counts twice, and nothing counts as free that is not.
      const { bytes, running } = await readDiskClaims(db)
      // With plenty of room no file is looked at: a thousand looks a second would hold up everybody.
      const isPlenty = before && bytes * SMALL_PART <= roomIn({ ...before, reservedBytes: 0 })
      const arrived = isThere && !isPlenty ? await within(arrivedBytes(objects, running), LOOK_TIMEOUT_MS) : 0
      const scratch = isThere ? await this.#scratch.figures() : { written: 0, toCome: 0 }
      const figures = await fileSystem.figures(0)
      for (const entry of this.#entries)
        if (entry.enteredAt !== undefined && entry.enteredAt <= at) this.#entries.delete(entry)
      const reservedBytes = bytes - (arrived ?? 0) + scratch.toCome
      this.#known = { at, room: figures && { ...figures, reservedBytes, scratch } }
    } catch {
      // Where it is the ledger that does not answer, the statement that enters something will say so.
      this.#known = { at, room: undefined }
    } finally {
      this.#looking = undefined
    }
    return this.#known?.room
  }
}

const roomFor = (purpose: Purpose, room: Found): number =>
  purpose === 'upload' ? roomIn(room) : scratchRoomIn(room, room.scratch)

const isNoRoom = (result: unknown): result is NoRoom => result === NO_ROOM
