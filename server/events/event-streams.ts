import type { Bus, BusMessage, ProgressTick } from '../../ledger/bus.ts'
import type { Ledger } from '../../ledger/database.ts'
import {
  factsOfUploads,
  isUploadOver,
  outlookOfUpload,
  positionAfter,
  type UploadFacts,
} from '../../ledger/events.ts'
import type { OwnerId, UploadId } from '../../ledger/ids.ts'
import type { UploadRow } from '../../ledger/uploads.ts'
import { RecentMap } from '../../system/recent-map.ts'
import { Problem } from '../http/errors.ts'
import { EventReader, FINAL_EVENTS } from './event-reader.ts'
import { OwnerFeed } from './owner-feed.ts'
import { FeedPosition, type Position } from './positions.ts'
import type { ProgressBoard } from './progress-board.ts'
import { Readers } from './readers.ts'
import type { Transport } from './transport.ts'
import { WholeBoard } from './whole-board.ts'

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

const MAX_KNOWN_UPLOADS = 50_000

/** The streams of one owner, and what they share. */
type OwnerStreams = { feed: OwnerFeed; readers: Set<EventReader>; streams: number; heartbeat: NodeJS.Timeout }

/** The readers of this node, fed from the bus and the ledger. */
export class EventStreams {
  readonly #options: EventStreamsOptions
  readonly #ofUploads = new Readers()
  readonly #ofOwners = new Readers()
  readonly #streams = new Map<OwnerId, OwnerStreams>()
  /** Of uploads in bus messages: each is looked up once. */
  readonly #facts = new RecentMap<string, UploadFacts>(MAX_KNOWN_UPLOADS)
  readonly #wholes: WholeBoard
  /** Partial uploads that have moved since their wholes were looked up. */
  readonly #movedPartials = new Map<UploadId, Moved>()
  #isFollowing = false
  readonly #unsubscribe: (() => void)[]
  #closed = false

  constructor(options: EventStreamsOptions) {
    this.#options = options
    this.#wholes = new WholeBoard(options.db, options.board)
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
      if (upload.is_partial) await this.#wholes.learn([upload.id])
      else if (upload.concat !== null) await this.#wholes.learn([], [upload.id])
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
      const board = this.#wholes
      const reader = new EventReader({
        ...this.#options,
        ...{ board, ownerId, upload, isOver, position, look, transport },
      })
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
    const query = { ownerId, uploadId, afterId: lastEventId, types: [...FINAL_EVENTS] }
    const { hasLater, hasTypes } = await outlookOfUpload(this.#options.db, query)
    const hasEnded = isOver || (lastEventId > 0 && hasTypes)
    return !hasEnded || hasLater
  }

  #deliver(message: BusMessage): void {
    const ids = uploadsOf(message)
    for (const id of ids) this.#pass(this.#ofUploads.of(id), message, id)
    // Progress of a partial upload is also that of a final one, which may have the reader.
    const isForOthers = message.t === 'progress' && !this.#ofUploads.isEmpty
    if (this.#ofOwners.isEmpty && !isForOthers) return
    const unknown = ids.filter((id) => !this.#facts.has(id))
    if (unknown.length === 0) this.#passToOthers(message, ids)
    else void this.#learnAndTell(unknown, message, ids)
  }

  async #learnAndTell(
    unknown: readonly string[],
    message: BusMessage,
    ids: readonly string[],
  ): Promise<void> {
    try {
      for (const facts of await factsOfUploads(this.#options.db, unknown)) this.#facts.set(facts.id, facts)
    } catch (error) {
      // Only progress is lost: heartbeats look for state changes.
      return this.#options.onError(error)
    }
    this.#passToOthers(message, ids)
  }

  /** To the readers of owners, and, of a partial upload, to those of its final one. */
  #passToOthers(message: BusMessage, ids: readonly string[]): void {
    for (const id of ids) {
      const facts = this.#facts.get(id)
      if (!facts) continue
      const tick = facts.isPartial ? tickOf(message, id) : undefined
      if (tick) this.#movedPartials.set(facts.id, { ownerId: facts.ownerId, size: tick[2] })
      else this.#pass(this.#ofOwners.of(facts.ownerId), message, id)
    }
    if (this.#movedPartials.size > 0 && !this.#isFollowing) void this.#followPartials()
  }

  /** Looks up the wholes of partials that have moved, by one query at a time, and tells of both. */
  async #followPartials(): Promise<void> {
    this.#isFollowing = true
    try {
      while (this.#movedPartials.size > 0 && !this.#closed) {
        const moved = new Map(this.#movedPartials)
        this.#movedPartials.clear()
        const wholes = await this.#wholes.learn([...moved.keys()])
        for (const [id, { ownerId, size }] of moved) this.#tick(id, ownerId, size)
        for (const { finalId, size, parts } of wholes) {
          const ownerId = parts.map(({ id }) => moved.get(id)?.ownerId).find((owner) => owner !== undefined)
          if (finalId !== null && ownerId !== undefined) this.#tick(finalId, ownerId, size)
        }
      }
    } catch (error) {
      // Only progress is lost.
      this.#options.onError(error)
    } finally {
      this.#isFollowing = false
    }
  }

  #tick(id: UploadId, ownerId: OwnerId, size: number | null): void {
    for (const readers of [this.#ofUploads.of(id), this.#ofOwners.of(ownerId)])
      for (const reader of readers) reader.tick(id, size)
  }

  #pass(readers: Iterable<EventReader>, message: BusMessage, id: string): void {
    for (const reader of readers) {
      // One read serves all of the owner's readers.
      if (message.t === 'event') {
        this.#look(reader.ownerId)
        return
      }
      if (message.t === 'step') reader.step(id, message.step)
      const tick = tickOf(message, id)
      if (tick) reader.tick(id, tick[2])
    }
  }
}

const draining = (): Problem =>
  new Problem('unavailable', 'The server is shutting down.', { headers: { 'Retry-After': '1' } })

/** A partial upload to which bytes have come. */
type Moved = { ownerId: OwnerId; size: number | null }

const tickOf = (message: BusMessage, id: string): ProgressTick | undefined =>
  message.t === 'progress' ? message.ticks.find(([ticked]) => ticked === id) : undefined

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
