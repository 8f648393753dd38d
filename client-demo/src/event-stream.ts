/** One message of a `text/event-stream` (HTML § server-sent events). */
export interface StreamEvent {
  readonly type: string
  readonly data: string
}

export interface EventStreamParser {
  /** Takes the next piece of text, cut anywhere, and returns the messages it completed. */
  push(text: string): StreamEvent[]
  /** The last `id:` seen, for `Last-Event-ID`. */
  lastEventId(): string | null
  /** The server's `retry:` in milliseconds, if it sent one. */
  retryMs(): number | null
}

export function createEventStreamParser(): EventStreamParser {
  let pending = ''
  let type = ''
  let data: string[] = []
  let id: string | null = null
  let retry: number | null = null

  function field(line: string): void {
    const colon = line.indexOf(':')
    if (colon === 0) return // a comment: the server's heartbeat
    const name = colon === -1 ? line : line.slice(0, colon)
    const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '')
    if (name === 'event') type = value
    else if (name === 'data') data.push(value)
    else if (name === 'id') id = value
    else if (name === 'retry' && /^\d+$/.test(value)) retry = Number(value)
  }

  return {
    push(text) {
      // A CR at the very end may be half of a CRLF: it waits for the next piece.
      const lines = (pending + text).split(/\r\n|\n|\r(?!$)/)
      pending = lines.pop() ?? ''
      const complete: StreamEvent[] = []
      for (const line of lines) {
        if (line !== '') {
          field(line)
          continue
        }
        if (data.length > 0) complete.push({ type: type || 'message', data: data.join('\n') })
        type = ''
        data = []
      }
      return complete
    },
    lastEventId: () => id,
    retryMs: () => retry,
  }
}
