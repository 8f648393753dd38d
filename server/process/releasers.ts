import type { Log } from './log.ts'

/** Opened resources, closed in reverse order. Code that opens one adds its closing at once. */
export class Releasers {
  readonly #stack: { name: string; release: () => Promise<void> | void }[] = []

  add(name: string, release: () => Promise<void> | void): void {
    this.#stack.push({ name, release })
  }

  /** Closes everything, the newest first; a failure is logged and does not stop the rest. */
  async releaseAll(log: Log): Promise<void> {
    for (let next = this.#stack.pop(); next; next = this.#stack.pop()) {
      try {
        await next.release()
      } catch (error) {
        log.error({ err: error }, `closing ${next.name} failed`)
      }
    }
  }
}
