import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Ledger, openDatabase } from '../ledger/database.ts'
import { jpeg } from './fixtures/media.ts'
import { readStream, type StreamEvent } from './support/event-reader.ts'
import { freshDatabase, type Landfall, startLandfall } from './support/landfall.ts'
import { asJpeg } from './support/sample-bytes.ts'
import { beginPatch } from './support/slow-patch.ts'
import { startTcpProxy, type TcpProxy } from './support/tcp-proxy.ts'
import { createId, head, patch } from './support/tus.ts'
import { outcome, sendFile } from './support/uploads.ts'

/** For how long the network swallows everything: `npm run test:silence` takes a minute. */
const OUTAGE_MS = Number(process.env.LANDFALL_SILENCE_SECONDS ?? 12) * 1000
/** After the network's return everything has to work again within this time. */
const RECOVERY_MS = 60_000
const SIZE = 200_000
const BYTES = asJpeg(Buffer.alloc(SIZE, 'x'))

describe('a network that swallows what is said to the database', () => {
  let proxy: TcpProxy
  let direct: Ledger
  let node: Landfall

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
    node = await startLandfall({ connectionString: throughProxy, env: { SCAN: 'off' } })
  })
  afterEach(async () => {
    await node?.close()
    await direct?.destroy()
    await proxy?.close()
  })

  it.each([
    ['on all connections, for a while', () => proxy.swallow()],
    ['on old connections, for good', () => proxy.swallowOld()],
  ])(
    '%s: uploads, workers and streams recover, and no lease outlives its client',
    async (_what, begin) => {
      const events: StreamEvent[] = []
      const stream = readStream(`${node.url}/api/v1/events`, {
        Authorization: `Bearer ${node.token('alice')}`,
      })
      // Ends with the server.
      void (async () => {
        for await (const event of stream) events.push(event)
      })().catch(() => {})
      const id = await createId(node, 'alice', { size: SIZE })
      const left = await createId(node, 'alice', { size: SIZE })
      const gone = await beginPatch(node, 'alice', left, { offset: 0, bytes: SIZE })
      gone.answered.catch(() => {})
      await gone.send(BYTES.subarray(0, 1000))
      await expect.poll(() => leases(direct), { timeout: 10_000 }).toEqual([left])

      begin()
      gone.reset()
      const during = patch(node, 'alice', id, { offset: 0, body: BYTES }).catch(() => undefined)
      await sleep(OUTAGE_MS)
      proxy.restore()
      const returnedAt = performance.now()
      const leftMs = () => Math.max(1, RECOVERY_MS - (performance.now() - returnedAt))

      // As a client does: ask how far it is, and go on.
      await expect
        .poll(
          async () => {
            const { status, headers } = await head(node, 'alice', id)
            if (status !== 200) return status
            const offset = Number(headers.get('Upload-Offset'))
            if (offset === SIZE) return 'done'
            return (await patch(node, 'alice', id, { offset, body: BYTES.subarray(offset) })).status
          },
          { timeout: leftMs(), interval: 1_000 },
        )
        .toBe('done')
      await expect.poll(() => leases(direct), { timeout: leftMs(), interval: 500 }).toEqual([])
      await expect
        .poll(() => events.some(({ data }) => data.uploadId === id && data.type === 'upload.received'), {
          timeout: leftMs(),
          interval: 500,
        })
        .toBe(true)
      await expect
        .poll(async () => (await fetch(`${node.url}/readyz`)).status, { timeout: leftMs(), interval: 500 })
        .toBe(200)
      // The worker as well.
      const { uploadId } = await sendFile(node, 'bob', await jpeg({ width: 800, height: 600 }))
      expect(await outcome(node, 'bob', uploadId)).toMatchObject({ status: 'ready' })
      expect(performance.now() - returnedAt).toBeLessThan(RECOVERY_MS)
      await during
    },
    OUTAGE_MS + RECOVERY_MS + 60_000,
  )
})

/** Uploads whose lease has not run out. */
async function leases(db: Ledger): Promise<string[]> {
  const { rows } = await sql<{ upload_id: string }>`
    select upload_id from landfall.upload_locks where expires_at > now()`.execute(db)
  return rows.map(({ upload_id }) => upload_id)
}
