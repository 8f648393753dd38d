import type { RejectionCode, Verdict } from '../storage/verdict.ts'

/** A verdict against the file. Final: trying again would find the same. */
export class Rejected extends Error {
  readonly reason: Verdict

  constructor(code: RejectionCode, detail: string) {
    super(detail)
    this.name = 'Rejected'
    this.reason = { code, detail }
  }
}

/** Something the step needs is away, such as clamd. The job waits for it, however long; it does not fail. */
export class Waiting extends Error {
  constructor(detail: string, options?: ErrorOptions) {
    super(detail, options)
    this.name = 'Waiting'
  }
}
