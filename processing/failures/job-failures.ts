import type { RejectionCode, Verdict } from '../../content/verdict.ts'
import type { Reason } from '../../ledger/schema.ts'

/** A verdict against the file. Final: trying again would find the same. */
export class Rejected extends Error {
  readonly reason: Verdict

  constructor(code: RejectionCode, detail: string) {
    super(detail)
    this.name = 'Rejected'
    this.reason = { code, detail }
  }
}

/** What no further attempt would change, though the file is not to blame: the media fails with this reason. */
export class GivenUp extends Error {
  readonly reason: Reason

  constructor(reason: Reason) {
    super(reason.detail)
    this.name = 'GivenUp'
    this.reason = reason
  }
}

/** Something the step needs is away, such as clamd. The job waits for it, however long; it does not fail. */
export class Waiting extends Error {
  /** Milliseconds for which it asks to be left alone; undefined where it does not say. */
  readonly afterMs: number | undefined

  constructor(detail: string, { afterMs, ...options }: ErrorOptions & { afterMs?: number | undefined } = {}) {
    super(detail, options)
    this.name = 'Waiting'
    this.afterMs = afterMs
  }
}
