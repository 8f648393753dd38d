import { isShortFile } from '../ledger/processing-turns.ts'

/** A short file that takes longer than this counts as long. */
const SHORT_LASTS_MS = 20_000
/** Owners that are remembered for such files. */
const MAX_REMEMBERED = 1000

/** The group of a job in the queue: `GROUP:OWNER`, where short files are a group of their own. */
export const groupOf = (ownerId: string, size: number): { id: string } => ({
  id: `${isShortFile(size) ? 'short' : 'long'}:${ownerId}`,
})

type Holder = { ownerId: string; isShort: boolean; since: number }

/**
 * Shares the slots of this process between owners. A job keeps its slot for hours if need be, so turns alone do not
 * keep the long files of one owner from taking all of them. With several slots, the long files of an owner get all but
 * one. The last one is for other owners, and for short files of any owner, as those release it soon. A file that is not
 * as short as expected counts as long, and so do its owner's short files until one is short again.
 */
export class Shares {
  readonly #slots: number
  readonly #held = new Map<unknown, Holder>()
  readonly #slow = new Set<string>()

  constructor(slots: number) {
    this.#slots = slots
  }

  /** `key` identifies a slot until it is given back. A job without a known owner counts for no share. */
  take(key: unknown, groupId: string | null | undefined): void {
    const [, group, ownerId] = /^(short|long):(.*)$/s.exec(groupId ?? '') ?? []
    if (ownerId !== undefined)
      this.#held.set(key, { ownerId, isShort: group === 'short', since: performance.now() })
  }

  giveBack(key: unknown): void {
    this.#noteSlow()
    const holder = this.#held.get(key)
    // Back to short after one was short, so that a short outage does not count for ever.
    if (holder?.isShort && performance.now() - holder.since < SHORT_LASTS_MS)
      this.#slow.delete(holder.ownerId)
    this.#held.delete(key)
  }

  /** Groups that get no slot now. */
  full(): string[] {
    if (this.#slots < 2) return []
    this.#noteSlow()
    return [...this.#longOfOwners()]
      .filter(([, count]) => count >= this.#slots - 1)
      .flatMap(([ownerId]) => [`long:${ownerId}`, ...(this.#slow.has(ownerId) ? [`short:${ownerId}`] : [])])
  }

  /** Slots that can be given to any group that is not in `full`. */
  get atOnce(): number {
    if (this.#slots < 2) return this.#slots
    const counts = [...this.#longOfOwners().values()].filter((count) => count < this.#slots - 1)
    return this.#slots - 1 - Math.max(0, ...counts)
  }

  #longOfOwners(): Map<string, number> {
    const counts = new Map<string, number>()
    for (const { ownerId, isShort } of this.#held.values()) {
      if (!isShort || this.#slow.has(ownerId)) counts.set(ownerId, (counts.get(ownerId) ?? 0) + 1)
    }
    return counts
  }

  #noteSlow(): void {
    const before = performance.now() - SHORT_LASTS_MS
    for (const { ownerId, isShort, since } of this.#held.values()) {
      if (!isShort || since > before) continue
      this.#slow.delete(ownerId)
      this.#slow.add(ownerId)
    }
    for (const ownerId of this.#slow) {
      if (this.#slow.size <= MAX_REMEMBERED) break
      this.#slow.delete(ownerId)
    }
  }
}
