import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Ledger, openDatabase } from '../../ledger/database.ts'
import { eventsThat } from '../../ledger/event-types.ts'
import { freePort } from '../../server/embedded/free-port.ts'
import { createLog } from '../../server/process/log.ts'
import { Releasers } from '../../server/process/releasers.ts'
import { shortVideo } from '../fixtures/media.ts'
import { freshBucket } from '../support/bucket.ts'
import { freshDatabase, tokenOf } from '../support/landfall.ts'
import { startReverseProxy } from '../support/proxies.ts'
import { countedUsage, impliedUsage } from '../support/quota.ts'
import { sha256Of, videoOfSize } from '../support/s3-landfall.ts'
import { enterableDirectory, type Run, runServer, stopRun } from '../support/server-process.ts'
import { startSlowLine } from '../support/slow-line.ts'
import { describeStorages } from '../support/storages.ts'
import { type Stored, storedInBucket, storedOnDisk } from '../support/stored.ts'
import { type TusJsUpload, tusJsUpload } from '../support/tus-js-client.ts'
import { type MediaJson, sendFile } from '../support/uploads.ts'
import { type Receiver, SECRETS, startReceiver } from '../support/webhook-receiver.ts'

const EARLIER = process.env.LANDFALL_EARLIER_CHECKOUT ?? ''
const UPLOADS = 4
const BYTES = 96 * 1024 * 1024
/** Slow enough that uploads are under way while releases come and go. */
const BYTES_PER_SECOND = 700 * 1024
const OWNER = 'alice'
const PROCESSED_MS = 120_000

type Release = 'earlier' | 'this'

/** Two servers with a worker each on one database, behind nginx, of which each is replaced by another release in turn. */
describeStorages('a rolling upgrade, a rollback and an upgrade again', (storage) => {
  const log = createLog({ level: 'error', name: 'test' })
  const releasers = new Releasers()
  const runs: Run[] = []
  const url = { proxy: '', slowLine: '' }
  let ports: number[]
  let env: Record<string, string>
  let dataDirectory: string
  let db: Ledger
  let stored: Stored
  let receiver: Receiver

  beforeAll(async () => {
    const parent = await enterableDirectory()
    releasers.add('directory', () => rm(parent, { recursive: true, force: true }))
    dataDirectory = join(parent, 'data')
    const bucket = storage === 's3' ? await freshBucket() : undefined
    if (bucket) releasers.add('bucket', () => bucket.close())
    stored = bucket ? storedInBucket(bucket) : storedOnDisk(dataDirectory)
    // Empty: the earlier release is the first to migrate it.
    const connectionString = await freshDatabase({ isEmpty: true })
    receiver = await startReceiver()
    releasers.add('receiver of webhooks', () => receiver.close())
    env = {
      DATABASE_URL: connectionString,
      SCAN: 'off',
      TRUST_PROXY: 'loopback',
      UPLOAD_MAX_OPEN: '1000',
      LOG_LEVEL: 'warn',
      WEBHOOK_URL: receiver.url,
      WEBHOOK_SECRET: SECRETS.join(' '),
      WEBHOOK_ALLOW_PRIVATE: 'true',
      ...bucket?.env(),
    }
    ports = [await freePort(), await freePort()]
    for (const index of [0, 1]) await start(index, 'earlier')
    const proxy = await startReverseProxy(
      'nginx',
      ports.map((port) => `127.0.0.1:${port}`),
    )
    releasers.add('proxy', () => proxy.stop())
    url.proxy = proxy.url
    const slowLine = await startSlowLine(proxy.url, BYTES_PER_SECOND)
    releasers.add('slow line', () => slowLine.close())
    url.slowLine = slowLine.url
    db = openDatabase({ connectionString, maxConnections: 2, applicationName: 'test', onPoolError() {} })
    releasers.add('database', () => db.destroy())
  }, 180_000)
  afterAll(() => releasers.releaseAll(log), 120_000)

  async function start(index: number, release: Release): Promise<void> {
    const run = runServer(dataDirectory, {
      env: { ...env, PORT: String(ports[index]) },
      ...(release === 'earlier' ? { checkout: EARLIER } : {}),
    })
    runs[index] = run
    releasers.add('server', () => stopRun(run, dataDirectory))
    await run.address
  }

  /** One node after the other, as a rolling upgrade does. After each, uploads come on and files are processed. */
  async function replaceAllBy(release: Release): Promise<void> {
    for (const index of [0, 1]) {
      const run = runs[index]
      if (run) await stopRun(run, dataDirectory)
      await start(index, release)
      await untilProgress()
      // By whichever worker takes it.
      const { uploadId } = await sendFile({ url: url.proxy, token: tokenOf }, OWNER, await shortVideo())
      expect(await mediaOf(uploadId)).toMatchObject({ status: 'ready' })
    }
  }

  async function begin(): Promise<TusJsUpload[]> {
    const file = await videoOfSize(BYTES, 'upgrade')
    const target = { url: url.slowLine, token: tokenOf }
    const uploads = Array.from({ length: UPLOADS }, () => tusJsUpload(target, OWNER, file))
    for (const { upload } of uploads) upload.start()
    await Promise.all(uploads.map(({ created }) => created))
    return uploads
  }

  /** Each open upload has come on, or is done. */
  async function untilProgress(): Promise<void> {
    const offsets = async () => {
      const rows = await db.selectFrom('landfall.uploads').select(['id', 'offset', 'state']).execute()
      return new Map(rows.map((row) => [row.id, row]))
    }
    const before = await offsets()
    const haveMoved = async () => {
      const now = await offsets()
      return [...before].every(
        ([id, { offset, state }]) => state !== 'open' || (now.get(id)?.offset ?? 0) > offset,
      )
    }
    await expect.poll(haveMoved, { timeout: 60_000, interval: 200 }).toBe(true)
  }

  async function mediaOf(uploadId: string): Promise<MediaJson> {
    const path = `${url.proxy}/api/v1/media?limit=100`
    const headers = { Authorization: `Bearer ${tokenOf(OWNER)}` }
    let found: MediaJson | undefined
    const isOver = async () => {
      const answer = (await (await fetch(path, { headers })).json()) as { items: MediaJson[] }
      found = answer.items.find((media) => media.uploadId === uploadId)
      return found !== undefined && !['received', 'processing'].includes(found.status)
    }
    await expect.poll(isOver, { timeout: PROCESSED_MS, interval: 300 }).toBe(true)
    if (!found) throw new Error('the media item is gone')
    return found
  }

  it('loses and doubles nothing, and leaves nothing', async () => {
    const uploads = await begin()
    await replaceAllBy('this')
    const later = await begin()
    await replaceAllBy('earlier')
    await replaceAllBy('this')
    const all = [...uploads, ...later]
    const ids = await Promise.all(all.map(({ finished }) => finished))
    const creations = all.map(({ requests }) => requests.filter((line) => line.startsWith('POST')))
    expect(creations).toEqual(all.map(() => ['POST → 201']))
    const sha256 = sha256Of(await videoOfSize(BYTES, 'upgrade'))
    for (const id of ids) expect(await mediaOf(id)).toMatchObject({ status: 'ready', sha256 })

    const media = await db.selectFrom('landfall.media').select(['storage_key', 'status']).execute()
    const renditions = await db.selectFrom('landfall.renditions').select('storage_key').execute()
    // Six that were sent beside them.
    expect(media.map(({ status }) => status)).toEqual(Array(all.length + 6).fill('ready'))
    const keys = [...media, ...renditions].map(({ storage_key }) => storage_key)
    const isObject = (key: string) => key.startsWith('uploads/') || key.startsWith('renditions/')
    expect((await stored.keys()).filter(isObject)).toEqual(keys.toSorted())
    expect(await stored.openMultiparts()).toEqual([])
    expect(await countedUsage(db, [OWNER])).toEqual(await impliedUsage(db, [OWNER]))
    await expectOneDeliveryEach()
  }, 900_000)

  /** Whichever release has written an event, the receiver was told of it by one message. */
  async function expectOneDeliveryEach(): Promise<void> {
    const events = db.selectFrom('landfall.events').where('type', 'in', eventsThat('isTold'))
    const told = (await events.select('id').orderBy('id').execute()).map(({ id }) => id)
    const deliveries = () =>
      db
        .selectFrom('landfall.webhook_deliveries')
        .select(['event_id', 'status'])
        .orderBy('event_id')
        .execute()
    await expect
      .poll(deliveries, { timeout: PROCESSED_MS, interval: 300 })
      .toEqual(told.map((id) => ({ event_id: id, status: 'delivered' })))
    expect(receiver.distinct()).toHaveLength(told.length)
  }
})
