/** Why a file can be rejected. Clients rely on the codes (see docs/api.md). */
export type RejectionCode =
  | 'infected'
  | 'scan-limit-exceeded'
  | 'type-not-recognised'
  | 'type-not-allowed'
  | 'type-mismatch'
  | 'polyglot'
  | 'digest-mismatch'
  | 'length-exceeded'
  | 'too-small'
  | 'damaged'
  | 'no-media'
  | 'encrypted'
  | 'too-long'
  | 'dimensions-too-small'
  | 'dimensions-too-large'
  | 'analysis-rejected'
  | 'duplicate'
  | 'refused-by-hook'

/** Why a file is rejected: a stable code, and a sentence for people. */
export type Verdict = { code: RejectionCode; detail: string }

/**
 * A verdict against a file, while it arrives or is processed: its upload or media item is rejected. Final, as trying again
 * would find the same.
 */
export class ContentRejected extends Error {
  readonly verdict: Verdict

  constructor(verdict: Verdict) {
    super(verdict.detail)
    this.name = 'ContentRejected'
    this.verdict = verdict
  }
}
