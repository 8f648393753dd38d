import type { Request, Response } from 'express'
import type { Bus, BusMessage } from '../../ledger/bus.ts'
import type { Ledger } from '../../ledger/database.ts'
import { type EventRow, eventsOfUpload } from '../../ledger/events.ts'
import type { EventType } from '../../ledger/schema.ts'
import { findUpload, type UploadRow } from '../../ledger/uploads.ts'
import { Problem } from '../errors.ts'
import type { ProgressBoard } from './progress-board.ts'

export type EventStreamsOptions = {
  db: Ledger
  bus: Bus
  board: ProgressBoard
  /** Between signs of life; also how late a state change can be when its notification was lost. */
  heartbeatMs: number
  onError: (error: unknown) => void
}

/** Nothing follows these in the life of an upload. */
const FINAL: ReadonlySet<EventType> = new Set<EventType>([
  'upload.terminated',
  'upload.expired',
  'upload.rejected',
  'media.ready',
  'media.failed',
  'media.deleted',
])

const PROGRESS_MS = 500
/** A reader this far behind gets no progress until it has caught up; state changes wait in the ledger. */
const MAX_BUFFERED_BYTES = 64 * 1024

/**
 * Server-sent events of uploads. State changes are rows of the ledger, sent in order with their id and
 * replayed from `Last-Event-ID`; notifications only say when to look. Progress comes and goes: at most
 * twice a second, and once more before the state change that ends it.
 */
export class EventStreams {
  readonly #options: EventStreamsOptions
  readonly #open = new Map<string, Set<UploadStream>>()
  readonly #unsubscribe: (() => void)[]

  constructor(options: EventStreamsOptions) {
    this.#options = options
    this.#unsubscribe = [
      options.bus.onMessage((message) => this.#deliver(message)),
      options.bus.onReconnected(() => {
        for (const stream of this.#all()) stream.catchUp()
      }),
    ]
  }

  /** Serves the stream of one upload, which is the asker's own, until it ends or the client leaves. */
  async serve(request: Request, response: Response, upload: UploadRow): Promise<void> {
    const afterId = lastEventId(request)
    const { db } = this.#options
    const replay = await eventsOfUpload(db, { ownerId: upload.owner_id, uploadId: upload.id, afterId })
    // 204 tells an EventSource that there is nothing left to reconnect for.
    if (replay.length === 0 && (await this.#isOver(upload, afterId))) return void response.status(204).end()

    // A client that left meanwhile will not say so again.
    if (response.destroyed) return
    const stream = new UploadStream(this.#options, response, upload, afterId)
    const streams = this.#open.get(upload.id) ?? new Set()
    this.#open.set(upload.id, streams.add(stream))
    response.once('close', () => {
      stream.close()
      streams.delete(stream)
      if (streams.size === 0 && this.#open.get(upload.id) === streams) this.#open.delete(upload.id)
    })
    stream.start()
  }

  /** Ends every stream; clients reconnect, elsewhere or later, where they left off. */
  close(): void {
    for (const stop of this.#unsubscribe) stop()
    for (const stream of this.#all()) stream.end()
  }

  async #isOver(upload: UploadRow, afterId: number): Promise<boolean> {
    if (afterId === 0) return false
    const events = await eventsOfUpload(this.#options.db, {
      ownerId: upload.owner_id,
      uploadId: upload.id,
      afterId: 0,
    })
    return events.some((event) => FINAL.has(event.type))
  }

  #deliver(message: BusMessage): void {
    switch (message.t) {
      case 'event':
        for (const stream of this.#open.get(message.id) ?? []) stream.catchUp()
        break
      case 'step':
        for (const stream of this.#open.get(message.id) ?? []) stream.step(message.step)
        break
      case 'progress':
        for (const [id] of message.ticks) for (const stream of this.#open.get(id) ?? []) stream.progress()
        break
    }
  }

  *#all(): Iterable<UploadStream> {
    for (const streams of this.#open.values()) yield* streams
  }
}

class UploadStream {
  readonly #options: EventStreamsOptions
  readonly #response: Response
  readonly #upload: UploadRow
  #lastId: number
  #heartbeat: NodeJS.Timeout | undefined
  #progressTimer: NodeJS.Timeout | undefined
  #progressSentAt = Number.NEGATIVE_INFINITY
  /** Reads follow one another, so that no event is sent twice or out of order. */
  #reading: Promise<void> = Promise.resolve()
  #ended = false

  constructor(options: EventStreamsOptions, response: Response, upload: UploadRow, afterId: number) {
    this.#options = options
    this.#response = response
    this.#upload = upload
    this.#lastId = afterId
  }

  start(): void {
    this.#response.status(200).set({
      'Content-Type': 'text/event-stream',
      'Cache-Control': 'no-store',
      // nginx would otherwise collect the stream.
      'X-Accel-Buffering': 'no',
    })
    this.#response.flushHeaders()
    this.#heartbeat = setInterval(() => {
      this.#response.write(': still here\n\n')
      this.catchUp()
    }, this.#options.heartbeatMs)
    this.catchUp()
    this.progress()
  }

  /** Sends the state changes that the ledger has beyond the last one sent. */
  catchUp(): void {
    this.#reading = this.#reading.then(() => this.#readEvents()).catch(this.#options.onError)
  }

  step(step: string): void {
    if (this.#hasRoom()) this.#send('step', { uploadId: this.#upload.id, step })
  }

  /** Sends progress now, or when half a second has passed since the last time. */
  progress(): void {
    if (this.#ended || this.#progressTimer) return
    const waitMs = Math.max(0, this.#progressSentAt + PROGRESS_MS - performance.now())
    this.#progressTimer = setTimeout(() => {
      this.#progressTimer = undefined
      if (this.#hasRoom()) this.#sendProgress()
    }, waitMs)
  }

  end(): void {
    this.close()
    this.#response.end()
  }

  close(): void {
    this.#ended = true
    clearInterval(this.#heartbeat)
    clearTimeout(this.#progressTimer)
  }

  async #readEvents(): Promise<void> {
    if (this.#ended) return
    const { id: uploadId, owner_id: ownerId } = this.#upload
    const { db } = this.#options
    const events = await eventsOfUpload(db, { ownerId, uploadId, afterId: this.#lastId })
    if (events.length === 0) return
    const current = await findUpload(db, ownerId, uploadId)
    if (current) Object.assign(this.#upload, current)
    for (const event of events) {
      if (event.type === 'upload.received') this.#sendProgress()
      this.#lastId = event.id
      this.#send('state', stateView(event), event.id)
    }
    if (events.some((event) => FINAL.has(event.type))) this.end()
  }

  #sendProgress(): void {
    this.#progressSentAt = performance.now()
    this.#send('progress', { uploadId: this.#upload.id, ...this.#options.board.of(this.#upload) })
  }

  #hasRoom(): boolean {
    return !this.#ended && this.#response.writableLength < MAX_BUFFERED_BYTES
  }

  #send(event: 'progress' | 'step' | 'state', data: unknown, id?: number): void {
    if (this.#ended) return
    const idLine = id === undefined ? '' : `id: ${id}\n`
    this.#response.write(`event: ${event}\n${idLine}data: ${JSON.stringify(data)}\n\n`)
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

/** Where the client left off; 0 for from the start. */
function lastEventId(request: Request): number {
  const text = request.get('Last-Event-ID')
  if (text === undefined || text === '') return 0
  if (!/^\d{1,15}$/.test(text))
    throw new Problem('invalid-header', 'Last-Event-ID is not one of this stream.')
  return Number(text)
}
