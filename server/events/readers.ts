import type { EventReader } from './event-reader.ts'

/** Readers by subject. */
export class Readers {
  readonly #readers = new Map<string, Set<EventReader>>()

  get isEmpty(): boolean {
    return this.#readers.size === 0
  }

  of(key: string): Iterable<EventReader> {
    return this.#readers.get(key) ?? []
  }

  /** Returns the function that removes the reader. */
  add(key: string, reader: EventReader): () => void {
    const readers = this.#readers.get(key) ?? new Set()
    this.#readers.set(key, readers.add(reader))
    return () => {
      readers.delete(reader)
      if (readers.size === 0 && this.#readers.get(key) === readers) this.#readers.delete(key)
    }
  }
}
