import type { Bus, BusMessage } from '../../ledger/bus.ts'
import type { Ledger } from '../../ledger/database.ts'
import { eventsOfUpload, isUploadOver, ownersOfUploads, positionAfter } from '../../ledger/events.ts'
import type { OwnerId } from '../../ledger/ids.ts'
import type { UploadRow } from '../../ledger/uploads.ts'
import { RecentMap } from '../../system/recent-map.ts'
import { Problem } from '../http/errors.ts'
import { EventReader, FINAL_EVENTS } from './event-reader.ts'
import { OwnerFeed } from './owner-feed.ts'
import { FeedPosition, type Position } from './positions.ts'
import type { ProgressBoard } from './progress-board.ts'
import { Readers } from './readers.ts'
import type { Transport } from './transport.ts'

export type EventStreamsOptions = {
  db: Ledger
  bus: Bus
  board: ProgressBoard
  /** Interval of heartbeats; also the delay of a state change whose notification was lost. */
  heartbeatMs: number
  /** Streams of one owner at a time, on this node. */
  streamsPerOwner: number
  onError: (error: unknown) => void
}

/** Begins the stream and returns its transport; undefined where the reader has left or nothing can follow. */
export type Connect = (isOver: boolean) => Transport | undefined

/** More than an upload can have. */
const MAX_EVENTS = 1000

const MAX_KNOWN_OWNERS = 50_000

/** The streams of one owner, and what they share. */
type OwnerStreams = { feed: OwnerFeed; readers: Set<EventReader>; streams: number; heartbeat: NodeJS.Timeout }

/** The readers of this node, fed from the bus and the ledger. */
export class EventStreams {
  readonly #options: EventStreamsOptions
  readonly #ofUploads = new Readers()
  readonly #ofOwners = new Readers()
  readonly #streams = new Map<OwnerId, OwnerStreams>()
  /** The owners of uploads in bus messages, which never change: each is looked up once. */
  readonly #owners = new RecentMap<string, OwnerId>(MAX_KNOWN_OWNERS)
  readonly #unsubscribe: (() => void)[]
  #closed = false

  constructor(options: EventStreamsOptions) {
    this.#options = options
    this.#unsubscribe = [
      options.bus.onMessage((message) => this.#deliver(message)),
      options.bus.onReconnected(() => {
        for (const ownerId of this.#streams.keys()) this.#look(ownerId)
      }),
    ]
  }

  /** The stream of one upload of the caller: events after `lastEventId`, 0 for all. Fails with `too-many-streams`. */
  async streamOfUpload(upload: UploadRow, lastEventId: number, connect: Connect): Promise<void> {
    const { db } = this.#options
    const { owner_id: ownerId } = upload
    await this.#begin(ownerId, upload, async (feed) => {
      // The rows first: the feed finds an event that ends the upload later.
      const isOver = await isUploadOver(db, ownerId, upload.id)
      if (!(await this.#mayFollow(upload, lastEventId, isOver))) return void connect(true)
      await feed.look()
      const position = new FeedPosition(db, feed, { settled: lastEventId, passed: [] }, upload.id)
      return { position, connect, isOver }
    })
  }

  /** The stream of an owner's uploads: events from now on, or after `lastEventId`. Fails with `too-many-streams`. */
  async streamOfOwner(ownerId: OwnerId, lastEventId: number | undefined, connect: Connect): Promise<void> {
    const { db } = this.#options
    await this.#begin(ownerId, undefined, async (feed) => {
      await feed.look()
      const start =
        lastEventId === undefined
          ? { settled: feed.base, passed: feed.ids() }
          : await positionAfter(db, ownerId, lastEventId)
      return { position: new FeedPosition(db, feed, start, undefined), connect, isOver: false }
    })
  }

  /** Ends every stream; clients reconnect where they left off. */
  close(): void {
    this.#closed = true
    for (const stop of this.#unsubscribe) stop()
    for (const { readers } of this.#streams.values()) for (const reader of readers) reader.end('draining')
  }

  /** Counts one stream, until it ends or does not begin. */
  async #begin(
    ownerId: OwnerId,
    upload: UploadRow | undefined,
    prepare: (
      feed: OwnerFeed,
    ) => Promise<{ position: Position; connect: Connect; isOver: boolean } | undefined>,
  ): Promise<void> {
    if (this.#closed) throw draining()
    const streams = this.#streamsOf(ownerId)
    const leave = this.#enter(ownerId, streams)
    let transport: Transport | undefined
    try {
      const prepared = await prepare(streams.feed)
      if (this.#closed) throw draining()
      transport = prepared?.connect(false)
      if (!prepared || !transport) return
      const { position, isOver } = prepared
      const look = () => this.#look(ownerId)
      const reader = new EventReader({ ...this.#options, ownerId, upload, isOver, position, look, transport })
      streams.readers.add(reader)
      const forget = upload ? this.#ofUploads.add(upload.id, reader) : this.#ofOwners.add(ownerId, reader)
      transport.onClosed(() => {
        streams.readers.delete(reader)
        forget()
        leave()
      })
    } finally {
      if (!transport) leave()
    }
  }

  #streamsOf(ownerId: OwnerId): OwnerStreams {
    const { db, heartbeatMs } = this.#options
    const found = this.#streams.get(ownerId)
    if (found) return found
    const readers = new Set<EventReader>()
    const feed = new OwnerFeed(db, ownerId, () => {
      for (const reader of readers) reader.catchUp()
    })
    // For lost notifications.
    const heartbeat = setInterval(() => this.#look(ownerId), heartbeatMs)
    const streams = { feed, readers, streams: 0, heartbeat }
    this.#streams.set(ownerId, streams)
    return streams
  }

  #enter(ownerId: OwnerId, streams: OwnerStreams): () => void {
    const { heartbeatMs, streamsPerOwner } = this.#options
    if (streams.streams >= streamsPerOwner) {
      throw new Problem(
        'too-many-streams',
        `At most ${streamsPerOwner} event streams can be open at the same time. Close one first.`,
        // By then a stream whose reader has vanished is closed.
        { headers: { 'Retry-After': String(Math.max(1, Math.ceil((2 * heartbeatMs) / 1000))) } },
      )
    }
    streams.streams += 1
    return () => {
      streams.streams -= 1
      if (streams.streams > 0) return
      clearInterval(streams.heartbeat)
      this.#streams.delete(ownerId)
    }
  }

  #look(ownerId: OwnerId): void {
    // The next heartbeat tries again.
    this.#streams.get(ownerId)?.feed.look().catch(this.#options.onError)
  }

  /**
   * Whether a reader that has received everything up to `lastEventId` can get more. Events are pruned after a while:
   * without a final one, the rows decide.
   */
  async #mayFollow(upload: UploadRow, lastEventId: number, isOver: boolean): Promise<boolean> {
    const { id: uploadId, owner_id: ownerId } = upload
    const query = { ownerId, uploadId, afterId: 0, limit: MAX_EVENTS }
    const events = await eventsOfUpload(this.#options.db, query)
    const hasEnded = isOver || (lastEventId > 0 && events.some((event) => FINAL_EVENTS.has(event.type)))
    return !hasEnded || events.some((event) => event.id > lastEventId)
  }

  #deliver(message: BusMessage): void {
    const ids = uploadsOf(message)
    for (const id of ids) this.#pass(this.#ofUploads.of(id), message, id)
    if (this.#ofOwners.isEmpty) return
    const unknown = ids.filter((id) => !this.#owners.has(id))
    if (unknown.length === 0) this.#passToOwners(message, ids)
    else void this.#learnAndTell(unknown, message, ids)
  }

  async #learnAndTell(
    unknown: readonly string[],
    message: BusMessage,
    ids: readonly string[],
  ): Promise<void> {
    try {
      const found = await ownersOfUploads(this.#options.db, unknown)
      for (const [id, ownerId] of found) this.#owners.set(id, ownerId)
    } catch (error) {
      // Only progress is lost: heartbeats look for state changes.
      return this.#options.onError(error)
    }
    this.#passToOwners(message, ids)
  }

  #passToOwners(message: BusMessage, ids: readonly string[]): void {
    for (const id of ids) {
      const ownerId = this.#owners.get(id)
      if (ownerId !== undefined) this.#pass(this.#ofOwners.of(ownerId), message, id)
    }
  }

  #pass(readers: Iterable<EventReader>, message: BusMessage, id: string): void {
    for (const reader of readers) {
      // One read serves all of the owner's readers.
      if (message.t === 'event') {
        this.#look(reader.ownerId)
        return
      }
      if (message.t === 'step') reader.step(id, message.step)
      const tick = message.t === 'progress' ? message.ticks.find(([ticked]) => ticked === id) : undefined
      if (tick) reader.tick(id, tick[2])
    }
  }
}

const draining = (): Problem =>
  new Problem('unavailable', 'The server is shutting down.', { headers: { 'Retry-After': '1' } })

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
