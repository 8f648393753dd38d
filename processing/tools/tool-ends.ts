import { RetryLater } from '../failures/job-failures.ts'

/** A sound ffmpeg or ffprobe looked at the input and could not make sense of it. */
export class UnreadableInput extends Error {
  constructor(stderr: string) {
    super(stderr)
    this.name = 'UnreadableInput'
  }
}

/** Why a tool gave no answer, as far as that matters to anybody. */
export type ToolEnd = 'out-of-time' | 'said-too-much' | 'our-mistake' | 'other'

/** A tool was ended, or could not be run. It carries nothing of the command, which may hold a signed address. */
export class ToolFailed extends Error {
  readonly end: ToolEnd

  constructor(what: string, end: ToolEnd = 'other', options?: ErrorOptions) {
    super(what, options)
    this.name = 'ToolFailed'
    this.end = end
  }
}

/** The storage did not hand over all of the file, or not without interruptions: nothing is known of the file. */
export class Undelivered extends RetryLater {
  constructor(program: string, options?: ErrorOptions) {
    super(`the storage did not deliver the file to ${program}`, options)
    this.name = 'Undelivered'
  }
}
