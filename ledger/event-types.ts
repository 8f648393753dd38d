/**
 * Every event. Its type is that of the row that it is about, then what happened. `isTold`: webhooks are sent of it.
 * `isEnd`: a line in the log says what became of the file. `isOutcome`: it is counted in the metrics. `isFinal`: nothing
 * follows it in the life of an upload that a reader of its events would wait for.
 */
export const EVENTS = {
  'upload.created': { isTold: false, isEnd: false, isOutcome: false, isFinal: false },
  'upload.received': { isTold: true, isEnd: true, isOutcome: true, isFinal: false },
  'upload.terminated': { isTold: true, isEnd: true, isOutcome: true, isFinal: true },
  'upload.expired': { isTold: true, isEnd: true, isOutcome: true, isFinal: true },
  'upload.rejected': { isTold: true, isEnd: true, isOutcome: true, isFinal: true },
  'media.ready': { isTold: true, isEnd: true, isOutcome: true, isFinal: true },
  // That its upload was rejected follows.
  'media.rejected': { isTold: true, isEnd: true, isOutcome: true, isFinal: false },
  'media.failed': { isTold: true, isEnd: true, isOutcome: true, isFinal: true },
  'media.deleted': { isTold: true, isEnd: true, isOutcome: false, isFinal: true },
  // Of what is said of it. Its status at that time is told with both.
  'media.updated': { isTold: true, isEnd: false, isOutcome: false, isFinal: false },
  'media.restored': { isTold: true, isEnd: false, isOutcome: false, isFinal: false },
  'media.purged': { isTold: true, isEnd: true, isOutcome: false, isFinal: true },
  'analysis.finished': { isTold: true, isEnd: false, isOutcome: false, isFinal: false },
  // A client that comes back after it was ready is told so, and its stream ends.
  'hls.finished': { isTold: true, isEnd: false, isOutcome: false, isFinal: true },
} as const

export type EventType = keyof typeof EVENTS

/** What is said of an event. */
export type EventTrait = keyof (typeof EVENTS)[EventType]

/** An event that says what became of an upload or a media item. */
export type EndEvent = {
  [Type in EventType]: (typeof EVENTS)[Type]['isEnd'] extends true ? Type : never
}[EventType]

const isEventType = (type: string): type is EventType => type in EVENTS

/** The events of which this is said. */
export const eventsThat = (trait: EventTrait): readonly EventType[] =>
  Object.keys(EVENTS)
    .filter(isEventType)
    .filter((type) => EVENTS[type][trait])
