export type Knowledge = 'under-way' | 'settled'

const MAX_KNOWN = 2000

/** Which uploads a reader knows. Bounded: the least recently active go first. */
export class KnownUploads {
  readonly #known = new Map<string, Knowledge>()

  of(uploadId: string): Knowledge | undefined {
    return this.#known.get(uploadId)
  }

  note(uploadId: string, knowledge: Knowledge): void {
    this.#known.delete(uploadId)
    this.#known.set(uploadId, knowledge)
    if (this.#known.size <= MAX_KNOWN) return
    const [oldest] = this.#known.keys()
    if (oldest !== undefined) this.#known.delete(oldest)
  }
}
