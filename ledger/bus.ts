import { EventEmitter } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import pg from 'pg'
import { z } from 'zod'
import { Batches } from './batches.ts'
import { LAZILY, type Ledger, PREPARED } from './database.ts'

/** Upload, bytes received, size (null while deferred), and where the request that received them began. */
const Tick = z.tuple([z.string(), z.number(), z.number().nullable(), z.number()])

const Message = z.discriminatedUnion('t', [
  /** Somebody wants the lease on this upload: its holder should finish what it has and let go. */
  z.object({ t: z.literal('lease-wanted'), id: z.string() }),
  z.object({ t: z.literal('lease-released'), id: z.string() }),
  /**
   * Rows were added to `events` for this upload. `queue` says which kind of jobs there is one more of; null where
   * there is none. A release before this field leaves it out: then it may be any.
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
  db: Ledger
  onError: (error: unknown) => void
}

const CHANNEL = 'landfall'
const RECONNECT_MS = 500
/** Postgres takes payloads below 8000 bytes. */
const MAX_PAYLOAD_BYTES = 7900

/**
 * Messages between the nodes of one database, over LISTEN/NOTIFY: one listening connection a node;
 * sending uses the pool. Delivery is at most once. What must not be missed is in a table, and
 * listeners read it again on `reconnected`.
 */
export class Bus {
  readonly #options: BusOptions
  readonly #emitter = new EventEmitter().setMaxListeners(0)
  /** One statement for all that is waiting: Postgres lets only one transaction at a time commit notifications. */
  readonly #outgoing: Batches<string, null>
  #client: pg.Client | undefined
  #closed = false

  private constructor(options: BusOptions) {
    this.#options = options
    this.#outgoing = new Batches<string, null>({
      ownerOf: () => '',
      together: (payloads) => this.#notify(payloads),
      alone: async (payload) => {
        await this.#notify([payload])
        return null
      },
    })
  }

  /** Connects and listens; fails when the database does not answer. */
  static async open(options: BusOptions): Promise<Bus> {
    const bus = new Bus(options)
    await bus.#connect()
    return bus
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
      this.#options.onError(error)
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#emitter.removeAllListeners()
    await this.#client?.end().catch(this.#options.onError)
  }

  async #notify(payloads: readonly string[]): Promise<null[]> {
    await sql`
      ${PREPARED} select pg_notify(${CHANNEL}, payload), ${LAZILY} from unnest(${payloads}::text[]) as payload`.execute(
      this.#options.db,
    )
    return payloads.map(() => null)
  }

  async #connect(): Promise<void> {
    const client = new pg.Client({
      connectionString: this.#options.connectionString,
      application_name: 'landfall-bus',
      keepAlive: true,
    })
    client.on('notification', ({ payload = '' }) => this.#receive(payload))
    client.on('error', this.#options.onError)
    client.once('end', () => {
      if (!this.#closed && this.#client === client) void this.#reconnect()
    })
    await client.connect()
    await client.query(`listen ${CHANNEL}`)
    this.#client = client
  }

  #receive(payload: string): void {
    try {
      this.#emitter.emit('message', Message.parse(JSON.parse(payload)))
    } catch (error) {
      // Whoever may connect to the database may notify: what is not ours must not stop us.
      this.#options.onError(error)
    }
  }

  async #reconnect(): Promise<void> {
    while (!this.#closed) {
      try {
        await this.#connect()
        this.#emitter.emit('reconnected')
        return
      } catch (error) {
        this.#options.onError(error)
        await sleep(RECONNECT_MS)
      }
    }
  }
}
