import type { Reason } from '../../ledger/schema.ts'

/** No further attempt would help, though the file is not to blame: the media item fails with this reason. */
export class PermanentFailure extends Error {
  readonly reason: Reason

  constructor(reason: Reason) {
    super(reason.detail)
    this.name = 'PermanentFailure'
    this.reason = reason
  }
}

/** Something that the step needs is unavailable, such as clamd. The job waits for it, however long; it does not fail. */
export class RetryLater extends Error {
  /** Milliseconds after which it asks to be tried again; undefined where it does not say. */
  readonly afterMs: number | undefined

  constructor(detail: string, { afterMs, ...options }: ErrorOptions & { afterMs?: number | undefined } = {}) {
    super(detail, options)
    this.name = 'RetryLater'
    this.afterMs = afterMs
  }
}
