import type { Bus, BusMessage } from '../../ledger/bus.ts'
import type { Ledger } from '../../ledger/database.ts'
import { eventsOfUpload, positionAfter, positionNow } from '../../ledger/events.ts'
import type { OwnerId } from '../../ledger/ids.ts'
import type { UploadRow } from '../../ledger/uploads.ts'
import { Problem } from '../errors.ts'
import { EventReader, FINAL } from './event-reader.ts'
import { OwnersPosition, type Position, UploadPosition } from './positions.ts'
import type { ProgressBoard } from './progress-board.ts'
import { Readers } from './readers.ts'
import type { Transport } from './transport.ts'
import { UploadOwners } from './upload-owners.ts'

export type EventStreamsOptions = {
  db: Ledger
  bus: Bus
  board: ProgressBoard
  /** Between signs of life; also how late a state change can be when its notification was lost. */
  heartbeatMs: number
  onError: (error: unknown) => void
}

/** Begins the stream and gives the way to its reader, or nothing where the reader has left or nothing can follow. */
export type Connect = (isOver: boolean) => Transport | undefined

/** More than an upload has in its life. */
const MAX_EVENTS = 1000

/** The readers of this node, and what reaches them from the bus. */
export class EventStreams {
  readonly #options: EventStreamsOptions
  readonly #ofUploads = new Readers()
  readonly #ofOwners = new Readers()
  readonly #owners: UploadOwners
  readonly #unsubscribe: (() => void)[]
  #closed = false

  constructor(options: EventStreamsOptions) {
    this.#options = options
    this.#owners = new UploadOwners(options.db)
    this.#unsubscribe = [
      options.bus.onMessage((message) => this.#deliver(message)),
      options.bus.onReconnected(() => {
        for (const reader of this.#all()) reader.catchUp()
      }),
    ]
  }

  /** The stream of one upload, which is the asker's own: what follows `lastEventId`, 0 for all. */
  async ofUpload(upload: UploadRow, lastEventId: number, connect: Connect): Promise<void> {
    const isOver = lastEventId > 0 && (await this.#isOver(upload, lastEventId))
    this.#begin(this.#ofUploads, upload.id, connect, isOver, {
      ownerId: upload.owner_id,
      upload,
      position: new UploadPosition(this.#options.db, upload, lastEventId),
    })
  }

  /** The stream of all uploads of an owner: what happens from now on, or what follows `lastEventId`. */
  async ofOwner(ownerId: OwnerId, lastEventId: number | undefined, connect: Connect): Promise<void> {
    const { db } = this.#options
    const start =
      lastEventId === undefined
        ? await positionNow(db, ownerId)
        : await positionAfter(db, ownerId, lastEventId)
    const position = new OwnersPosition(db, ownerId, start)
    this.#begin(this.#ofOwners, ownerId, connect, false, { ownerId, upload: undefined, position })
  }

  /** Ends every stream; clients reconnect, elsewhere or later, where they left off. */
  close(): void {
    this.#closed = true
    for (const stop of this.#unsubscribe) stop()
    for (const reader of this.#all()) reader.end('draining')
  }

  #begin(
    readers: Readers,
    key: string,
    connect: Connect,
    isOver: boolean,
    what: { ownerId: OwnerId; upload: UploadRow | undefined; position: Position },
  ): void {
    if (this.#closed) {
      throw new Problem('unavailable', 'The server is about to stop.', { headers: { 'Retry-After': '1' } })
    }
    const transport = connect(isOver)
    if (!transport) return
    const reader = new EventReader({ ...this.#options, ...what, transport })
    const forget = readers.add(key, reader)
    transport.onClosed(forget)
  }

  /** Whether nothing is left to be told to a reader who has had everything up to `lastEventId`. */
  async #isOver(upload: UploadRow, lastEventId: number): Promise<boolean> {
    const { id: uploadId, owner_id: ownerId } = upload
    const query = { ownerId, uploadId, afterId: 0, limit: MAX_EVENTS }
    const events = await eventsOfUpload(this.#options.db, query)
    return events.some((event) => FINAL.has(event.type)) && events.every((event) => event.id <= lastEventId)
  }

  #deliver(message: BusMessage): void {
    const ids = uploadsOf(message)
    for (const id of ids) for (const reader of this.#ofUploads.of(id)) tell(reader, message, id)
    if (this.#ofOwners.isEmpty) return
    const unknown = ids.filter((id) => this.#owners.of(id) === undefined)
    if (unknown.length === 0) this.#tellOwners(message, ids)
    else void this.#learnAndTell(unknown, message, ids)
  }

  async #learnAndTell(
    unknown: readonly string[],
    message: BusMessage,
    ids: readonly string[],
  ): Promise<void> {
    try {
      await this.#owners.learn(unknown)
    } catch (error) {
      // What is lost by this is progress: a heartbeat looks for state changes.
      return this.#options.onError(error)
    }
    this.#tellOwners(message, ids)
  }

  #tellOwners(message: BusMessage, ids: readonly string[]): void {
    for (const id of ids) {
      const ownerId = this.#owners.of(id)
      if (ownerId === undefined) continue
      for (const reader of this.#ofOwners.of(ownerId)) tell(reader, message, id)
    }
  }

  *#all(): Iterable<EventReader> {
    yield* this.#ofUploads.all()
    yield* this.#ofOwners.all()
  }
}

function uploadsOf(message: BusMessage): string[] {
  switch (message.t) {
    case 'event':
    case 'step':
      return [message.id]
    case 'progress':
      return message.ticks.map(([id]) => id)
    default:
      return []
  }
}

function tell(reader: EventReader, message: BusMessage, id: string): void {
  switch (message.t) {
    case 'event':
      reader.catchUp()
      break
    case 'step':
      reader.step(id, message.step)
      break
    case 'progress': {
      const tick = message.ticks.find(([ticked]) => ticked === id)
      if (tick) reader.tick(id, tick[2])
    }
  }
}
