import type { Readable } from 'node:stream'
import { withinTime } from '../../system/within-time.ts'
import type { OwnStep } from './own-step.ts'

export type HookName = 'pre-create' | 'pre-publish'

export type HookQuestion = {
  hook: HookName
  /** The same for the same question. */
  id: string
  data: object
  /** Opens the file that it is about, for hooks in the process. */
  openFile?: () => Promise<Readable>
}

/** A place where an application answers for its hooks. */
export type HookSource = {
  /** For the log. */
  name: string
  /** Undefined where it has no such hook, or nothing to say. The signal is aborted when the time is over. */
  ask(question: HookQuestion, signal: AbortSignal): Promise<unknown>
  /** Steps of processing of its own. */
  steps?: readonly OwnStep[]
}

export type OwnHooksOptions = {
  /** Asked one after another. */
  sources: readonly HookSource[]
  /** For each. */
  timeoutMs: number
  /** What follows where one cannot say. */
  whenUnavailable: 'refuse' | 'allow'
  onFailure: (error: unknown, about: { hook: HookName; source: string; id: string }) => void
}

/** A hook gave no decision: it failed, was too slow, or its answer is not valid. */
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

  get steps(): readonly OwnStep[] {
    return this.sources.flatMap(({ steps = [] }) => steps)
  }

  /**
   * Asks one source. Returns its decision, or undefined where it has none. `read`: makes the decision of the answer, and
   * throws where that is not valid. Without a decision this returns undefined too where uploads are allowed without one, and
   * fails with `HookUnavailable` elsewhere. Fails with the reason of `over` once that is aborted.
   */
  async ask<Decision>(
    source: HookSource,
    question: HookQuestion,
    read: (answer: unknown) => Decision,
    over: AbortSignal,
  ): Promise<Decision | undefined> {
    const { timeoutMs, whenUnavailable, onFailure } = this.#options
    const { hook, id } = question
    try {
      const answer = await withinTime(timeoutMs, over, (signal) => source.ask(question, signal))
      return answer === undefined || answer === null ? undefined : read(answer)
    } catch (error) {
      over.throwIfAborted()
      onFailure(error, { hook, source: source.name, id })
      if (whenUnavailable === 'allow') return undefined
      throw new HookUnavailable({ cause: error })
    }
  }
}
