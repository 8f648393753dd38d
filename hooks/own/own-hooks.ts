/** A place where an application answers for its hooks. */
export type HookSource = {
  /** For the log. */
  name: string
  /** Undefined where it has no such hook, or nothing to say. The signal is aborted when the time is over. */
  ask(hook: HookName, id: string, question: object, signal: AbortSignal): Promise<unknown>
}

export type HookName = 'pre-create'

export type OwnHooksOptions = {
  /** Asked one after another. */
  sources: readonly HookSource[]
  /** For each. */
  timeoutMs: number
  /** What follows where one cannot say. */
  whenUnavailable: 'refuse' | 'allow'
  onFailure: (error: unknown, about: { hook: HookName; source: string; id: string }) => void
}

/** A hook did not say what is to be done: it failed, was too slow, or answered nonsense. */
export class HookUnavailable extends Error {
  constructor(options: ErrorOptions) {
    super('a hook could not be asked', options)
    this.name = 'HookUnavailable'
  }
}

/** The hooks of the application. */
export class OwnHooks {
  readonly #options: OwnHooksOptions

  constructor(options: OwnHooksOptions) {
    this.#options = options
  }

  get sources(): readonly HookSource[] {
    return this.#options.sources
  }

  /**
   * The decision of one source as `read` has it, which fails for nonsense; undefined where it has none, or cannot say and
   * is not needed. `id`: the same for the same question. Fails with `HookUnavailable`, and with the reason of `over` once that is aborted.
   */
  async ask<Decision>(
    source: HookSource,
    question: { hook: HookName; id: string; data: object },
    read: (answer: unknown) => Decision,
    over: AbortSignal,
  ): Promise<Decision | undefined> {
    const { timeoutMs, whenUnavailable, onFailure } = this.#options
    const { hook, id, data } = question
    try {
      const answer = await inTime(timeoutMs, over, (signal) => source.ask(hook, id, data, signal))
      return answer === undefined || answer === null ? undefined : read(answer)
    } catch (error) {
      over.throwIfAborted()
      onFailure(error, { hook, source: source.name, id })
      if (whenUnavailable === 'allow') return undefined
      throw new HookUnavailable({ cause: error })
    }
  }
}

/** Also where the work does not heed its signal. */
async function inTime<Result>(
  timeoutMs: number,
  over: AbortSignal,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  over.throwIfAborted()
  const ended = new AbortController()
  const { promise: end, reject } = Promise.withResolvers<never>()
  ended.signal.addEventListener('abort', () => reject(ended.signal.reason), { once: true })
  const timer = setTimeout(() => ended.abort(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs)
  const leave = () => ended.abort(over.reason)
  over.addEventListener('abort', leave, { once: true })
  try {
    return await Promise.race([work(ended.signal), end])
  } finally {
    clearTimeout(timer)
    over.removeEventListener('abort', leave)
  }
}
