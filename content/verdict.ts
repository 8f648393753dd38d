/** Why a file can be turned away. Clients rely on the codes (see docs/api.md). */
export type RejectionCode =
  | 'infected'
  | 'scan-limit-exceeded'
  | 'type-not-recognised'
  | 'type-not-allowed'
  | 'type-mismatch'
  | 'polyglot'
  | 'digest-mismatch'
  | 'length-exceeded'
  | 'damaged'
  | 'no-picture'
  | 'too-long'
  | 'dimensions-too-small'
  | 'dimensions-too-large'
  | 'analysis-rejected'

/** Why a file is refused: a stable code, and a sentence for people. */
export type Verdict = { code: RejectionCode; detail: string }

/** A verdict on a file while it arrives. Its upload is rejected, whatever of it has been stored. */
export class ContentRefused extends Error {
  readonly verdict: Verdict

  constructor(verdict: Verdict) {
    super(verdict.detail)
    this.name = 'ContentRefused'
    this.verdict = verdict
  }
}
