import { readFile } from 'node:fs/promises'
import { sql } from 'kysely'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Ledger, openDatabase } from '../ledger/database.ts'
import { jpeg } from './fixtures/media.ts'
import { readStream, type StreamEvent } from './support/event-reader.ts'
import { freshDatabase, type Landfall, startLandfall } from './support/landfall.ts'
import { outageOf } from './support/pauses.ts'
import { beginPatch, type SlowPatch } from './support/slow-patch.ts'
import { startTcpProxy, type TcpProxy } from './support/tcp-proxy.ts'
import { createId, head, patch } from './support/tus.ts'
import { outcome, sendFile } from './support/uploads.ts'

/** For how long the network swallows everything: `npm run test:silence` takes a minute. */
const OUTAGE_MS = Number(process.env.LANDFALL_SILENCE_SECONDS ?? 12) * 1000
/** After the network's return everything has to work again within this time. */
const RECOVERY_MS = 60_000
/** Of a picture that becomes ready: an upload that was refused would be gone when its client comes back. */
const BYTES = await readFile((await jpeg({ width: 1600, height: 1200 })).path)
const SIZE = BYTES.byteLength

describe('a network that swallows what is said to the database', () => {
  let proxy: TcpProxy
  let direct: Ledger
  /** The first has the worker. */
  let nodes: [Landfall, Landfall]

  beforeEach(async () => {
    const connectionString = await freshDatabase()
    proxy = await startTcpProxy(connectionString)
    const throughProxy = Object.assign(new URL(connectionString), { port: new URL(proxy.url).port }).href
    direct = openDatabase({
      connectionString,
      maxConnections: 2,
      applicationName: 'test',
      onPoolError: () => {},
    })
    const first = await startLandfall({ connectionString: throughProxy, env: { SCAN: 'off' } })
    nodes = [first, await startLandfall({ beside: first, withoutWorker: true, env: { SCAN: 'off' } })]
  })
  afterEach(async () => {
    for (const node of nodes?.toReversed() ?? []) await node.close()
    await direct?.destroy()
    await proxy?.close()
  })

  it.each([
    ['on all connections, for a while', () => proxy.discardOutput()],
    ['on old connections, for good', () => proxy.swallowOld()],
  ])(
    '%s: uploads, workers and streams recover, and no lease outlives its client',
    async (_what, begin) => {
      const plays = await Promise.all(nodes.map((node) => Play.begin(node)))
      const left = plays.map((play) => play.left).toSorted()
      await expect.poll(() => leases(direct), { timeout: 10_000 }).toEqual(left)

      begin()
      for (const play of plays) play.goAway()
      await outageOf(OUTAGE_MS)
      proxy.restore()
      const returnedAt = performance.now()
      const leftMs = () => Math.max(1, RECOVERY_MS - (performance.now() - returnedAt))

      await Promise.all(plays.map((play) => play.goOn(leftMs)))
      await expect.poll(() => leases(direct), { timeout: leftMs(), interval: 500 }).toEqual([])
      // The worker as well.
      const [node] = nodes
      const { uploadId } = await sendFile(node, 'bob', await jpeg({ width: 800, height: 600 }))
      expect(await outcome(node, 'bob', uploadId)).toMatchObject({ status: 'ready' })
      expect(performance.now() - returnedAt).toBeLessThan(RECOVERY_MS)
    },
    OUTAGE_MS + RECOVERY_MS + 60_000,
  )
})

/** What an owner does on one node: a stream of events, an upload, and an upload whose client goes away. */
class Play {
  readonly left: string
  readonly #node: Landfall
  readonly #owner: string
  readonly #upload: string
  readonly #abandoned: SlowPatch
  readonly #events: StreamEvent[] = []
  #during: Promise<unknown> = Promise.resolve()

  static async begin(node: Landfall): Promise<Play> {
    const owner = `alice-${new URL(node.url).port}`
    const upload = await createId(node, owner, { size: SIZE })
    const left = await createId(node, owner, { size: SIZE })
    const abandoned = await beginPatch(node, owner, left, { offset: 0, bytes: SIZE })
    // Its connection is broken by us.
    abandoned.answered.catch(() => {})
    await abandoned.send(BYTES.subarray(0, 1000))
    return new Play({ node, owner, upload, left, abandoned })
  }

  private constructor(it: {
    node: Landfall
    owner: string
    upload: string
    left: string
    abandoned: SlowPatch
  }) {
    this.#node = it.node
    this.#owner = it.owner
    this.#upload = it.upload
    this.#abandoned = it.abandoned
    this.left = it.left
    const stream = readStream(`${it.node.url}/api/v1/events`, {
      Authorization: `Bearer ${it.node.token(it.owner)}`,
    })
    // Ends with the server.
    void (async () => {
      for await (const event of stream) this.#events.push(event)
    })().catch(() => {})
  }

  /** The client of one upload leaves, and that of the other sends. */
  goAway(): void {
    this.#abandoned.reset()
    this.#during = patch(this.#node, this.#owner, this.#upload, { offset: 0, body: BYTES }).catch(() => {})
  }

  /** As a client does: asks how far it is, and goes on. All that it needs of the node works in that time. */
  async goOn(leftMs: () => number): Promise<void> {
    await expect.poll(() => this.#sendRest(), { timeout: leftMs(), interval: 1_000 }).toBe('done')
    await expect
      .poll(
        () =>
          this.#events.some(({ data }) => data.uploadId === this.#upload && data.type === 'upload.received'),
        { timeout: leftMs(), interval: 500 },
      )
      .toBe(true)
    await expect
      .poll(async () => (await fetch(`${this.#node.url}/readyz`)).status, {
        timeout: leftMs(),
        interval: 500,
      })
      .toBe(200)
    await this.#during
  }

  async #sendRest(): Promise<number | 'done'> {
    const { status, headers } = await head(this.#node, this.#owner, this.#upload)
    if (status !== 200) return status
    const offset = Number(headers.get('Upload-Offset'))
    if (offset === SIZE) return 'done'
    return (await patch(this.#node, this.#owner, this.#upload, { offset, body: BYTES.subarray(offset) }))
      .status
  }
}

/** Uploads whose lease has not run out. */
async function leases(db: Ledger): Promise<string[]> {
  const { rows } = await sql<{ upload_id: string }>`
    select upload_id from landfall.upload_locks where expires_at > now() order by upload_id collate "C"`.execute(
    db,
  )
  return rows.map(({ upload_id }) => upload_id)
}
