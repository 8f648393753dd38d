import type { Reason } from '../ledger/schema.ts'

/** Why a file can be turned away. Clients rely on the codes (see docs/api.md). */
export type RejectionCode =
  | 'infected'
  | 'scan-limit-exceeded'
  | 'type-not-recognised'
  | 'type-not-allowed'
  | 'type-mismatch'
  | 'damaged'
  | 'no-picture'
  | 'too-long'
  | 'dimensions-too-small'
  | 'dimensions-too-large'

/** A verdict against the file. Final: trying again would find the same. */
export class Rejected extends Error {
  readonly reason: Reason

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
