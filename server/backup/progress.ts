const EVERY_MS = 5_000

/** Prints a line of progress on standard error every few seconds while the work runs. */
export async function withProgress<Result>(line: () => string, work: () => Promise<Result>): Promise<Result> {
  const timer = setInterval(() => process.stderr.write(`landfall: ${line()}\n`), EVERY_MS)
  try {
    return await work()
  } finally {
    clearInterval(timer)
  }
}

/** Runs work on items, so many at a time. Stops at the first failure. */
export async function forEachInParallel<Item>(
  items: AsyncIterable<Item> | Iterable<Item>,
  atATime: number,
  work: (item: Item) => Promise<void>,
): Promise<void> {
  async function* all() {
    yield* items
  }
  const left = all()
  const run = async () => {
    // A failure ends the generator, and so the other runs.
    for await (const item of left) await work(item)
  }
  const runs = await Promise.allSettled(Array.from({ length: atATime }, run))
  for (const result of runs) if (result.status === 'rejected') throw result.reason
}
