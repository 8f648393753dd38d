/** What a reader of events is told. State changes have an id, which counts as where the reader is. */
export type StreamMessage = { event: 'progress' | 'step' | 'state'; id?: number; data: unknown }

/** Why a stream ends: nothing can follow, or the server stops and the reader goes on elsewhere. */
export type StreamEnd = 'over' | 'draining'

/** The way to one reader. */
export interface Transport {
  /** Bytes that were sent and that the reader has not taken. */
  readonly bufferedBytes: number
  /** Sends them in this order, with one write where the way allows that. */
  send(messages: readonly StreamMessage[]): void
  /** Gives a sign of life, and closes the way to a reader that gives none where it could. */
  beat(): void
  end(why: StreamEnd): void
  /** Calls `listener` whenever bytes were taken. */
  onRoom(listener: () => void): void
  /** Calls `listener` once, when the reader is gone, for whatever reason. */
  onClosed(listener: () => void): void
}
