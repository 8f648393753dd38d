import { setImmediate as othersFirst } from 'node:timers/promises'
import { type EventType, eventsThat } from '../../ledger/event-types.ts'
import type { EventRow } from '../../ledger/events.ts'
import type { OwnerId } from '../../ledger/ids.ts'
import type { UploadRow } from '../../ledger/uploads.ts'
import { RecentMap } from '../../system/recent-map.ts'
import { metadataCharacters } from './metadata-characters.ts'
import type { Position } from './positions.ts'
import type { ProgressBoard } from './progress-board.ts'
import type { StreamEnd, StreamMessage, Transport } from './transport.ts'

export type EventReaderOptions = {
  board: Pick<ProgressBoard, 'of'>
  ownerId: OwnerId
  /** Only this upload; undefined for all of the owner's. */
  upload: UploadRow | undefined
  /** No further events can follow: the stream ends after the existing ones. */
  isOver: boolean
  position: Position
  /** Requests a read of new events; then `catchUp` is called. */
  look: () => void
  transport: Transport
  /** Interval of heartbeats. */
  heartbeatMs: number
  onError: (error: unknown) => void
}

type Subject = Pick<UploadRow, 'offset' | 'size' | 'state'> & { id: string }

/** Final events for a reader of one upload. */
export const FINAL_EVENTS: ReadonlySet<EventType> = new Set(eventsThat('isFinal'))

/** Uploads that a reader knows: the least recently active go first. */
const MAX_KNOWN = 2000
const PROGRESS_MS = 500
/** A reader with this much unsent gets nothing until it has caught up; state changes wait in the ledger. */
const MAX_BUFFERED_BYTES = 64 * 1024
/** State changes read at a time: with the limit above, all that a slow reader costs. */
const PAGE = 100

/**
 * Sends one reader its messages, over any transport. State changes are rows of the ledger, sent with their id in the
 * order of its position, which shares reads with the owner's other readers. Progress is sent at most twice a second for
 * an upload, and once more before its last state change.
 */
export class EventReader {
  readonly #options: EventReaderOptions
  readonly #heartbeat: NodeJS.Timeout
  readonly #uploads = new RecentMap<string, 'under-way' | 'settled'>(MAX_KNOWN)
  /** Uploads with new progress since it was last sent. */
  readonly #moved = new Map<string, Subject>()
  #progressTimer: NodeJS.Timeout | undefined
  #progressSentAt = Number.NEGATIVE_INFINITY
  #hasNews = false
  /** One read at a time, so that no event is sent twice or out of order. */
  #isReading = false
  #ended = false

  constructor(options: EventReaderOptions) {
    this.#options = options
    const { transport, upload, heartbeatMs } = options
    transport.onClosed(() => this.#stop())
    transport.onRoom(() => {
      if (this.#hasNews) this.catchUp()
    })
    this.#heartbeat = setInterval(() => {
      transport.beat()
      this.catchUp()
    }, heartbeatMs)
    if (upload) {
      this.#uploads.set(upload.id, upload.state === 'open' ? 'under-way' : 'settled')
      this.#move(upload)
    }
    this.catchUp()
  }

  get ownerId(): OwnerId {
    return this.#options.ownerId
  }

  /** Sends known state changes that this reader has not received. */
  catchUp(): void {
    this.#hasNews = true
    if (!this.#isReading) void this.#readAll()
  }

  step(uploadId: string, step: string): void {
    if (this.#hasRoom()) this.#options.transport.send([{ event: 'step', data: { uploadId, step } }])
  }

  /** Progress of an upload has arrived on the bus. */
  tick(id: string, size: number | null): void {
    const known = this.#uploads.get(id)
    // Late progress, after the state change.
    if (known === 'settled') return
    // The creation of an upload has no event.
    if (known === undefined) {
      this.#uploads.set(id, 'under-way')
      this.#options.look()
    }
    this.#move({ id, offset: this.#options.upload?.offset ?? 0, size, state: 'open' })
  }

  end(why: StreamEnd): void {
    if (this.#ended) return
    this.#stop()
    this.#options.transport.end(why)
  }

  #stop(): void {
    this.#ended = true
    clearInterval(this.#heartbeat)
    clearTimeout(this.#progressTimer)
  }

  async #readAll(): Promise<void> {
    const { isOver } = this.#options
    this.#isReading = true
    try {
      while (this.#hasNews && this.#hasRoom()) {
        this.#hasNews = false
        const events = await this.#options.position.next(PAGE)
        const sent = this.#sendAll(events)
        if (isOver && events.length === 0) this.end('over')
        if (isOver || events.length === PAGE || sent < events.length) this.#hasNews = true
        // Let other readers go first: a long backlog must not delay short ones.
        if (this.#hasNews) await othersFirst()
      }
    } catch (error) {
      // The next heartbeat tries again.
      this.#options.onError(error)
    } finally {
      this.#isReading = false
    }
  }

  /** Sends as many of them as a reader may cost, and returns how many. */
  #sendAll(events: readonly EventRow[]): number {
    if (this.#ended) return 0
    const { position, transport, upload } = this.#options
    const messages: StreamMessage[] = []
    let [sent, characters, isLast] = [0, 0, false]
    for (const event of events) {
      if (characters >= MAX_BUFFERED_BYTES) break
      characters += metadataCharacters(event)
      sent += 1
      isLast ||= FINAL_EVENTS.has(event.type)
      const { received_size: size } = event
      // The final progress, before the last state change.
      if (size !== null)
        messages.push(this.#progressOf({ id: event.upload_id, offset: size, size, state: 'received' }))
      if (event.type !== 'upload.created') this.#moved.delete(event.upload_id)
      this.#uploads.set(event.upload_id, event.type === 'upload.created' ? 'under-way' : 'settled')
      position.passed(event.id)
      messages.push({ event: 'state', id: event.id, data: stateView(event) })
    }
    transport.send(messages)
    if (upload && isLast) this.end('over')
    return sent
  }

  /** Sends progress now, or half a second after the last time. */
  #move(subject: Subject): void {
    if (this.#ended) return
    this.#moved.set(subject.id, subject)
    if (this.#progressTimer) return
    const waitMs = Math.max(0, this.#progressSentAt + PROGRESS_MS - performance.now())
    this.#progressTimer = setTimeout(() => {
      this.#progressTimer = undefined
      this.#progressSentAt = performance.now()
      for (const moved of this.#moved.values())
        if (this.#hasRoom()) this.#options.transport.send([this.#progressOf(moved)])
      this.#moved.clear()
    }, waitMs)
  }

  #progressOf(subject: Subject): StreamMessage {
    return { event: 'progress', data: { uploadId: subject.id, ...this.#options.board.of(subject) } }
  }

  #hasRoom(): boolean {
    return !this.#ended && this.#options.transport.bufferedBytes < MAX_BUFFERED_BYTES
  }
}

function stateView(event: EventRow) {
  return {
    type: event.type,
    uploadId: event.upload_id,
    mediaId: event.media_id,
    at: event.created_at.toISOString(),
    ...event.described,
    ...event.data,
  }
}
