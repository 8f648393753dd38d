import type { Node } from './nodes.ts'

/** A time in which a node stands still, shared by several plays. */
export type Standstill = {
  /** The play is ready for it; resolves when all are and the node stands still. */
  begins(): Promise<void>
  /** The play is done with it; resolves when all are and the node goes on. */
  ends(): Promise<void>
}

/** Runs plays beside each other around one standstill of `node`; a play that fails keeps nobody waiting. */
export function playAll<Name extends string>(
  node: Pick<Node, 'freeze' | 'thaw'>,
  plays: ReadonlyMap<Name, (standstill: Standstill) => Promise<void>>,
): Map<Name, Promise<void>> {
  const ready = new Gathering(plays.size, () => node.freeze())
  const done = new Gathering(plays.size, () => node.thaw())
  return new Map(
    [...plays].map(([name, play]) => {
      const arrivals = [ready.newcomer(), done.newcomer()] as const
      const [begins, ends] = arrivals
      const playing = play({ begins, ends }).finally(() => {
        for (const arrive of arrivals) void arrive()
      })
      // Looked at by the test of that name, later.
      playing.catch(() => {})
      return [name, playing]
    }),
  )
}

/** Where a number of comers wait for each other. */
class Gathering {
  readonly #complete = Promise.withResolvers<void>()
  readonly #then: () => void
  #missing: number

  /** `then` is called when the last has come, before they go on. */
  constructor(comers: number, then: () => void) {
    this.#missing = comers
    this.#then = then
  }

  /** For one comer, who may come again without being counted again. */
  newcomer(): () => Promise<void> {
    let hasCome = false
    return async () => {
      if (!hasCome && --this.#missing === 0) {
        this.#then()
        this.#complete.resolve()
      }
      hasCome = true
      await this.#complete.promise
    }
  }
}
