import { RetryLater } from '../failures/job-failures.ts'

/** ffmpeg or ffprobe, which works, could not read the input. */
export class UnreadableInput extends Error {
  override readonly name = 'UnreadableInput'
}

/** Why a tool gave no answer, where its caller has to know. */
export type ToolFailureKind = 'timed-out' | 'output-too-large' | 'bad-arguments' | 'other'

/**
 * A tool was ended, or could not be run. The message contains nothing of the command, which may hold a signed address.
 */
export class ToolFailed extends Error {
  readonly kind: ToolFailureKind

  constructor(what: string, kind: ToolFailureKind = 'other', options?: ErrorOptions) {
    super(what, options)
    this.name = 'ToolFailed'
    this.kind = kind
  }
}

/** The storage did not deliver all of the file: nothing is known about it. */
export class InputNotDelivered extends RetryLater {
  constructor(program: string, options?: ErrorOptions) {
    super(`the storage did not deliver the file to ${program}`, options)
    this.name = 'InputNotDelivered'
  }
}
