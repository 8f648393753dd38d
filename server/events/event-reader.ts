import { setImmediate as othersFirst } from 'node:timers/promises'
import type { EventRow } from '../../ledger/events.ts'
import type { OwnerId } from '../../ledger/ids.ts'
import type { EventType } from '../../ledger/schema.ts'
import type { UploadRow } from '../../ledger/uploads.ts'
import { KnownUploads } from './known-uploads.ts'
import type { Position } from './positions.ts'
import type { ProgressBoard } from './progress-board.ts'
import type { StreamEnd, StreamMessage, Transport } from './transport.ts'

export type EventReaderOptions = {
  board: ProgressBoard
  ownerId: OwnerId
  /** The one upload that is followed; undefined for all of the owner's. */
  upload: UploadRow | undefined
  /** No event follows those that are there: the stream ends when they are read, whether or not one of them says so. */
  isOver: boolean
  position: Position
  /** Has the ledger looked at for what is new; the reader is then told to `catchUp`. */
  look: () => void
  transport: Transport
  /** Between signs of life. */
  heartbeatMs: number
  onError: (error: unknown) => void
}

type Subject = Pick<UploadRow, 'offset' | 'size' | 'state'> & { id: string }

/** Nothing follows these in the life of an upload that its own reader would wait for. */
export const FINAL_EVENTS: ReadonlySet<EventType> = new Set<EventType>([
  'upload.terminated',
  'upload.expired',
  'upload.rejected',
  'media.ready',
  'media.failed',
  'media.deleted',
  // A client that comes back after it was ready is told so, and its stream ends.
  'hls.finished',
])

const PROGRESS_MS = 500
/** A reader this far behind is told nothing until it has caught up; state changes wait in the ledger. */
const MAX_BUFFERED_BYTES = 64 * 1024
/** State changes read at a time: with the above, all that a slow reader costs. */
const PAGE = 100

/**
 * What one reader is told, however it is reached. State changes are rows of the ledger, sent with their id in the
 * order of its position, which shares what it reads with the owner's other readers. Progress comes and goes: at most twice a second for an
 * upload, and once more before the state change that ends it.
 */
export class EventReader {
  readonly #options: EventReaderOptions
  readonly #heartbeat: NodeJS.Timeout
  readonly #uploads = new KnownUploads()
  /** Uploads that have moved since progress was sent. */
  readonly #moved = new Map<string, Subject>()
  #progressTimer: NodeJS.Timeout | undefined
  #progressSentAt = Number.NEGATIVE_INFINITY
  #hasNews = false
  /** Looks follow one another, so that no event is sent twice or out of order. */
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
      this.#uploads.note(upload.id, upload.state === 'open' ? 'under-way' : 'settled')
      this.#move(upload)
    }
    this.catchUp()
  }

  get ownerId(): OwnerId {
    return this.#options.ownerId
  }

  /** Sends the state changes that are known and that this reader has not had. */
  catchUp(): void {
    this.#hasNews = true
    if (!this.#isReading) void this.#readAll()
  }

  step(uploadId: string, step: string): void {
    if (this.#hasRoom()) this.#options.transport.send([{ event: 'step', data: { uploadId, step } }])
  }

  /** An upload was heard of on the bus. */
  tick(id: string, size: number | null): void {
    const known = this.#uploads.of(id)
    // Of bytes that were on their way for longer than the news that all have arrived.
    if (known === 'settled') return
    // The creation of an upload is not announced by itself.
    if (known === undefined) {
      this.#uploads.note(id, 'under-way')
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
        this.#sendAll(events)
        if (isOver && events.length === 0) this.end('over')
        if (isOver || events.length === PAGE) this.#hasNews = true
        // One who has much to catch up with, or many who have, must not keep those waiting who ask for little.
        if (this.#hasNews) await othersFirst()
      }
    } catch (error) {
      // The next heartbeat looks again.
      this.#options.onError(error)
    } finally {
      this.#isReading = false
    }
  }

  #sendAll(events: readonly EventRow[]): void {
    if (this.#ended) return
    const { position, transport, upload } = this.#options
    const messages: StreamMessage[] = []
    for (const event of events) {
      const { received_size: size } = event
      // All of it has arrived: said once more before the state change that ends it.
      if (size !== null)
        messages.push(this.#progressOf({ id: event.upload_id, offset: size, size, state: 'received' }))
      if (event.type !== 'upload.created') this.#moved.delete(event.upload_id)
      this.#uploads.note(event.upload_id, event.type === 'upload.created' ? 'under-way' : 'settled')
      position.passed(event.id)
      messages.push({ event: 'state', id: event.id, data: stateView(event) })
    }
    transport.send(messages)
    if (upload && events.some((event) => FINAL_EVENTS.has(event.type))) this.end('over')
  }

  /** Sends progress now, or when half a second has passed since the last time. */
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
    ...event.data,
  }
}
