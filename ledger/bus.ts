import { randomBytes } from 'node:crypto'
import { EventEmitter } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { Batches } from './batches.ts'
import { type LedgerClient, MARK, openConnection } from './connection.ts'
import { BUS_DEADLINES } from './deadlines.ts'

/** Upload, bytes received, size (null while deferred), and the offset at which the request began. */
const Tick = z.tuple([z.string(), z.number(), z.number().nullable(), z.number()])

const Message = z.discriminatedUnion('t', [
  /** Another request wants the lease on this upload: its holder should store what it has and release the lease. */
  z.object({ t: z.literal('lease-wanted'), id: z.string() }),
  z.object({ t: z.literal('lease-released'), id: z.string() }),
  /**
   * Rows were added to `events` for this upload. `queue` names the queue that got a job; null for none. The previous
   * release leaves it out: then it may be any.
   */
  z.object({ t: z.literal('event'), id: z.string(), queue: z.string().nullish() }),
  z.object({ t: z.literal('step'), id: z.string(), step: z.string() }),
  z.object({ t: z.literal('progress'), ticks: z.array(Tick) }),
])

export type BusMessage = z.output<typeof Message>
/** Upload id, bytes received so far, size (null while deferred). */
export type ProgressTick = z.output<typeof Tick>

export type BusOptions = {
  connectionString: string
  onError: (error: unknown) => void
}

const CHANNEL = 'landfall'
/** Delay between attempts to connect: doubles from the first to the last, minus up to half as jitter. */
const FIRST_RECONNECT_MS = 250
const LAST_RECONNECT_MS = 5_000
/** How often the bus sends to itself, and how long that may take before the connection counts as broken. */
const BEAT_MS = 5_000
const HEARD_WITHIN_MS = 5_000
/** Postgres takes payloads below 8000 bytes. */
const MAX_PAYLOAD_BYTES = 7900

/** With asynchronous commit: nobody misses a notification after a crash. */
const NOTIFY = `${MARK} select pg_notify($1, payload), set_config('synchronous_commit', 'off', true)
  from unnest($2::text[]) as payload`

/** The bus has no connection at the moment. */
class BusAway extends Error {
  constructor() {
    super('the bus is not connected')
    this.name = 'BusAway'
  }
}

/**
 * Messages between the nodes of one database, over LISTEN/NOTIFY, on one connection per node for both directions.
 * Delivery is at most once: what must not be missed is in a table, which listeners read again on `reconnected`.
 * The bus sends to itself every few seconds, on a channel of its own. A connection that died silently, or a pooler that
 * does not keep sessions, is noticed by that; then it reconnects.
 */
export class Bus {
  readonly #options: BusOptions
  readonly #emitter = new EventEmitter().setMaxListeners(0)
  /** One statement for all that is waiting: Postgres lets only one transaction at a time commit notifications. */
  readonly #outgoing: Batches<string, null>
  readonly #closing = new AbortController()
  readonly #ownChannel = `landfall_${randomBytes(8).toString('hex')}`
  #client: LedgerClient | undefined
  #last: Promise<unknown> = Promise.resolve()
  #beats: NodeJS.Timeout | undefined
  /** Called when its own message arrives. */
  #onBeat = () => {}

  private constructor(options: BusOptions) {
    this.#options = options
    this.#outgoing = new Batches<string, null>({
      ownerOf: () => '',
      together: (payloads) => this.#notify(payloads),
      alone: (payload) => this.#notify([payload]).then(() => null),
    })
  }

  /** Connects and listens. Fails when the database does not answer. */
  static async open(options: BusOptions): Promise<Bus> {
    const bus = new Bus(options)
    await bus.#connect()
    return bus
  }

  /** Whether this node receives messages; after a failure false within seconds, until it has reconnected. */
  get isConnected(): boolean {
    return this.#client !== undefined
  }

  /** Calls `listener` for every message; returns the function that stops it. */
  onMessage(listener: (message: BusMessage) => void): () => void {
    this.#emitter.on('message', listener)
    return () => this.#emitter.off('message', listener)
  }

  /** Calls `listener` when messages may have been missed. */
  onReconnected(listener: () => void): () => void {
    this.#emitter.on('reconnected', listener)
    return () => this.#emitter.off('reconnected', listener)
  }

  /** Sends to every node, this one included. A failure is reported, not thrown: see the class. */
  async publish(message: BusMessage): Promise<void> {
    const payload = JSON.stringify(message)
    if (Buffer.byteLength(payload) > MAX_PAYLOAD_BYTES) throw new RangeError('bus message too long')
    try {
      await this.#outgoing.add(payload)
    } catch (error) {
      // The outage was reported once, when it began.
      if (!(error instanceof BusAway)) this.#options.onError(error)
    }
  }

  /** Takes some seconds at most. */
  async close(): Promise<void> {
    this.#closing.abort()
    this.#emitter.removeAllListeners()
    clearTimeout(this.#beats)
    const client = this.#client
    this.#client = undefined
    await client?.end().catch(this.#options.onError)
  }

  async #notify(payloads: readonly string[]): Promise<null[]> {
    if (!this.#client) throw new BusAway()
    await this.#send(this.#client, CHANNEL, payloads)
    return payloads.map(() => null)
  }

  /** One statement at a time. */
  async #send(client: LedgerClient, channel: string, payloads: readonly string[]): Promise<void> {
    const sent = this.#last.then(() => client.query(NOTIFY, [channel, payloads]))
    this.#last = sent.catch(() => {})
    await sent
  }

  async #connect(): Promise<void> {
    const client = await openConnection({
      connectionString: this.#options.connectionString,
      applicationName: 'landfall-bus',
      deadlines: BUS_DEADLINES,
    })
    client.on('error', this.#options.onError)
    client.on('notification', ({ channel, payload = '' }) => {
      if (channel === this.#ownChannel) this.#onBeat()
      else this.#receive(payload)
    })
    const ended = new Promise<void>((resolve) => client.once('end', resolve))
    try {
      await client.query(`listen ${CHANNEL}; listen ${this.#ownChannel}`)
      await this.#beat(client)
      this.#closing.signal.throwIfAborted()
    } catch (error) {
      client.abandon()
      throw error
    }
    this.#client = client
    this.#beatAgain(client)
    void ended.then(() => {
      if (this.#client !== client) return
      this.#client = undefined
      clearTimeout(this.#beats)
      void this.#reconnect()
    })
  }

  #beatAgain(client: LedgerClient): void {
    this.#beats = setTimeout(() => {
      this.#beat(client).then(
        () => {
          if (this.#client === client) this.#beatAgain(client)
        },
        (error) => client.abandon(error),
      )
    }, BEAT_MS).unref()
  }

  /** Sends to itself. Fails when that does not arrive. */
  async #beat(client: LedgerClient): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#onBeat = resolve
    const timer = setTimeout(
      () =>
        reject(
          new Error(
            'the bus does not receive its own notifications: a pooler in between must keep sessions (pool_mode = session)',
          ),
        ),
      HEARD_WITHIN_MS,
    )
    try {
      await Promise.all([this.#send(client, this.#ownChannel, ['']), promise])
    } finally {
      clearTimeout(timer)
    }
  }

  #receive(payload: string): void {
    try {
      this.#emitter.emit('message', Message.parse(JSON.parse(payload)))
    } catch (error) {
      // Any client of the database may notify: an unknown message must not stop us.
      this.#options.onError(error)
    }
  }

  async #reconnect(): Promise<void> {
    const { signal } = this.#closing
    for (let waitMs = FIRST_RECONNECT_MS; !signal.aborted; waitMs = Math.min(waitMs * 2, LAST_RECONNECT_MS)) {
      try {
        await this.#connect()
        this.#emitter.emit('reconnected')
        return
      } catch (error) {
        if (signal.aborted) return
        this.#options.onError(error)
        await sleep(waitMs * (0.5 + Math.random() / 2), undefined, { signal, ref: false }).catch(() => {})
      }
    }
  }
}
