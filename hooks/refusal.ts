/** Why a request is refused by policy. The server gives each code its status. */
export type RefusalCode =
  | 'invalid-metadata'
  | 'invalid-concat'
  | 'forbidden'
  | 'ticket-used'
  | 'too-large'
  | 'too-small'
  | 'type-not-allowed'
  | 'too-many-open-uploads'
  | 'quota-bytes-exceeded'
  | 'quota-uploads-exceeded'
  | 'storage-full'
  | 'refused-by-hook'
  | 'hook-unavailable'

/** A decision against a request, with what the client needs to understand it. */
export class Refusal extends Error {
  readonly code: RefusalCode
  /** Members added to the problem document, such as the limit that was exceeded. */
  readonly members: Readonly<Record<string, unknown>>
  /** Undefined where it is not known. */
  readonly retryAfterSeconds: number | undefined
  /** In place of that of the code. */
  readonly status: number | undefined

  constructor(
    code: RefusalCode,
    detail: string,
    members: Readonly<Record<string, unknown>> = {},
    retryAfterSeconds?: number,
    status?: number,
  ) {
    super(detail)
    this.name = 'Refusal'
    this.code = code
    this.members = members
    this.retryAfterSeconds = retryAfterSeconds
    this.status = status
  }
}
