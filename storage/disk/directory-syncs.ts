import { syncDirectory } from './disk-objects.ts'

/**
 * Makes new directory entries durable, those of several files with one call. Call it after the file was created: only a
 * call that begins later counts for it.
 */
export class DirectorySyncs {
  readonly #running = new Map<string, Promise<void>>()
  readonly #next = new Map<string, Promise<void>>()
  readonly #sync: (directory: string) => Promise<void>

  constructor(sync: (directory: string) => Promise<void> = syncDirectory) {
    this.#sync = sync
  }

  /** Resolves when all entries that the directory has now are durable. */
  async sync(directory: string): Promise<void> {
    const running = this.#running.get(directory)
    if (!running) return await this.#begin(directory)
    const next = this.#next.get(directory) ?? running.then(ignore, ignore).then(() => this.#begin(directory))
    this.#next.set(directory, next)
    await next
  }

  async #begin(directory: string): Promise<void> {
    this.#next.delete(directory)
    const running = this.#sync(directory)
    this.#running.set(directory, running)
    try {
      await running
    } finally {
      if (this.#running.get(directory) === running) this.#running.delete(directory)
    }
  }
}

const ignore = () => {}
