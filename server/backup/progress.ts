const EVERY_MS = 5_000

/** Prints a line of progress on standard error every few seconds. */
export function reportProgress(line: () => string): { stop(): void } {
  const timer = setInterval(() => process.stderr.write(`landfall: ${line()}\n`), EVERY_MS)
  return { stop: () => clearInterval(timer) }
}

/** Runs work on items, so many at a time. Stops at the first failure. */
export async function forEachInParallel<Item>(
  items: AsyncIterable<Item> | Iterable<Item>,
  atATime: number,
  work: (item: Item) => Promise<void>,
): Promise<void> {
  const iterator = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]()
  let isOver = false
  const run = async () => {
    while (!isOver) {
      const next = await iterator.next()
      if (next.done) return
      try {
        await work(next.value)
      } catch (error) {
        isOver = true
        throw error
      }
    }
  }
  const runs = await Promise.allSettled(Array.from({ length: atATime }, run))
  for (const result of runs) if (result.status === 'rejected') throw result.reason
}
