/** A message to a reader of events. A state change has an id, which is the reader's position. */
export type StreamMessage = { event: 'progress' | 'step' | 'state'; id?: number; data: unknown }

/** Why a stream ends: nothing can follow, or the server stops and the client reconnects. */
export type StreamEnd = 'over' | 'draining'

/** The connection to one reader. */
export interface Transport {
  /** Bytes sent and not yet taken by the reader. */
  readonly bufferedBytes: number
  /** Sends them in this order, in one write where possible. */
  send(messages: readonly StreamMessage[]): void
  /** Sends a heartbeat, and disconnects a reader that does not answer where it has to. */
  beat(): void
  end(why: StreamEnd): void
  /** Calls `listener` whenever bytes were taken. */
  onRoom(listener: () => void): void
  /** Calls `listener` once, when the reader is gone, for whatever reason. */
  onClosed(listener: () => void): void
}
