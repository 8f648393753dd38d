import { readEvents, type StreamEvent } from './event-reader.ts'
import type { Target } from './tus.ts'

/** Everything an upload's stream gives until the server ends it. */
export async function allEvents(
  target: Target,
  sub: string,
  uploadId: string,
  options: { lastEventId?: string } = {},
): Promise<StreamEvent[]> {
  const events: StreamEvent[] = []
  for await (const event of readEvents(target, sub, uploadId, options)) events.push(event)
  return events
}

export type StateChange = {
  type: string
  uploadId: string
  mediaId: string | null
  at: string
  reason?: { code: string; detail: string }
}

/** The state changes of an upload until the server ends its stream. */
export async function stateChanges(target: Target, sub: string, uploadId: string): Promise<StateChange[]> {
  const events = await allEvents(target, sub, uploadId)
  return events.filter(({ event }) => event === 'state').map(({ data }): StateChange => data)
}
