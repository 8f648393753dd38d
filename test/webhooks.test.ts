import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { execa } from 'execa'
import { type KyselyPlugin, sql } from 'kysely'
import { Webhook } from 'standardwebhooks'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { BusMessage } from '../ledger/bus.ts'
import { createUpload } from '../ledger/creation.ts'
import type { Ledger } from '../ledger/database.ts'
import { finishUpload } from '../ledger/finishing.ts'
import { type MediaId, newMediaId, type OwnerId, type UploadId } from '../ledger/ids.ts'
import { deleteMedia, failMedia, publishMedia, rejectMedia } from '../ledger/media.ts'
import { expireUploads } from '../ledger/reaping.ts'
import { type HeldUpload, rejectUpload, terminateUpload } from '../ledger/uploads.ts'
import { configureEndpoint, disableEndpoint, enableEndpoint } from '../ledger/webhook-endpoints.ts'
import { replayDelivery } from '../ledger/webhook-history.ts'
import { type DispatcherOptions, startDispatcher, type Timing } from '../processing/webhooks/dispatcher.ts'
import { WebhookDelivery, WebhookDeliveryList, WebhookDeliveryWithAttempts } from '../server/api/schemas.ts'
import { jpeg } from './fixtures/media.ts'
import { freshDatabase, type Landfall, startLandfall } from './support/landfall.ts'
import { created, leaseOf, newUpload, openLedger, SIZE, UNLIMITED } from './support/ledger.ts'
import { beyond, nothingFor, slowly } from './support/pauses.ts'
import { process as processFile } from './support/uploads.ts'
import { type Receiver, SECRETS, startReceiver, status } from './support/webhook-receiver.ts'
import { startWebhookWorker } from './support/webhook-worker.ts'

/** An answer that comes is in time, however busy the machine is. */
const TIMING: Timing = { timeoutMs: 20_000, leaseMs: 30_000, schedule: [50, 50], pollMs: 100, graceMs: 200 }
/** Where the time limit is what is tested: a receiver that answers at once does so within it. */
const SHORT = { timeoutMs: 1500, leaseMs: 5000 }
/** Of a worker that is killed. */
const SHORT_LEASE_MS = 1500
/** The dispatcher looks for new events no oftener. */
const LOOKS_APART_MS = 250
const REASON = { code: 'damaged', detail: 'The file is damaged.' }
const nothing = async () => {}

let connectionString: string
let db: Ledger
let receiver: Receiver
const opened: { close(): Promise<unknown> }[] = []

beforeEach(async () => {
  connectionString = await freshDatabase()
  db = openLedger(connectionString)
  receiver = await startReceiver()
})
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close()
  await receiver.close()
  await db.destroy()
})

function webhook(changes: { url?: string; allowPrivate?: boolean } = {}) {
  return { url: receiver.url, secrets: SECRETS, allowPrivate: true, ...changes }
}

async function startWorker(changes: { url?: string; allowPrivate?: boolean } = {}, timing = {}) {
  const options = { connectionString, webhook: webhook(changes), timing: { ...TIMING, ...timing } }
  const worker = await startWebhookWorker(options)
  opened.push(worker)
  return worker
}

async function open(owner = 'alice'): Promise<HeldUpload> {
  const id = created(await createUpload(db, newUpload(owner), UNLIMITED))
  return { id, ownerId: owner as OwnerId, fence: await leaseOf(db, owner, id) }
}

/** An upload of the owner's that is received: the first event that webhooks tell of. */
async function receive(owner = 'alice'): Promise<{ id: UploadId; mediaId: MediaId }> {
  const held = await open(owner)
  const { id } = held
  const mediaId = newMediaId()
  await finishUpload(db, { ...held, offset: 0, to: SIZE }, mediaId, nothing)
  return { id, mediaId }
}

const deliveries = () =>
  db.selectFrom('landfall.webhook_deliveries').selectAll().orderBy('position').execute()
const attempts = () => db.selectFrom('landfall.webhook_attempts').selectAll().orderBy('attempt').execute()

async function untilStatus(...expected: string[]): Promise<void> {
  const statuses = async () => (await deliveries()).map((row) => row.status)
  await expect.poll(statuses, { timeout: 10_000, interval: 20 }).toEqual(expected)
}

describe('a message', () => {
  it('tells of an upload in the form of Standard Webhooks, signed with each secret', async () => {
    await startWorker()
    const { id, mediaId } = await receive()
    await receiver.until(({ length }) => length === 1)
    const [message] = receiver.received
    expect(message?.type).toBe('upload.received')
    expect(message?.timestamp).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
    expect(message?.data).toEqual({
      id,
      ownerId: 'alice',
      tenantId: null,
      state: 'received',
      filename: 'ä.png',
      offset: SIZE,
      size: SIZE,
      mediaId,
      reason: null,
      attachedTo: null,
      title: null,
      description: null,
      captions: null,
      metadata: {},
    })
    const { 'webhook-id': webhookId, 'webhook-signature': signature, ...headers } = message?.headers ?? {}
    expect(webhookId).toMatch(/^msg_[0-9a-f]{32}$/)
    expect(String(signature).split(' ')).toHaveLength(2)
    expect(headers).toMatchObject({ 'content-type': 'application/json', host: new URL(receiver.url).host })
    const forger = new Webhook(`whsec_${Buffer.alloc(32, 3).toString('base64')}`)
    const given = Object.fromEntries(Object.entries(message?.headers ?? {}).map(([k, v]) => [k, String(v)]))
    expect(() => forger.verify(message?.body ?? '', given)).toThrow('No matching signature')
    await untilStatus('delivered')
    expect(await attempts()).toMatchObject([{ attempt: 1, status: 204, error: null }])
  })

  it('is looked for at once when something happens, and once for much that happens', async () => {
    let looks = 0
    const counting: KyselyPlugin = {
      transformQuery({ node }) {
        const isLook = node.kind === 'SelectQueryNode' && JSON.stringify(node).includes('webhook_endpoints')
        if (isLook) looks += 1
        return node
      },
      async transformResult({ result }) {
        return result
      },
    }
    const listeners: ((message: BusMessage) => void)[] = []
    const bus: DispatcherOptions['bus'] = {
      onMessage(listener) {
        listeners.push(listener)
        return () => {}
      },
      onReconnected: () => () => {},
    }
    const log = { info: () => {}, warn: () => {}, error: () => {} }
    const dispatcher = await startDispatcher({
      db: db.withPlugin(counting),
      bus,
      webhook: webhook(),
      log,
      timing: { ...TIMING, pollMs: 60_000 },
    })
    opened.push(dispatcher)
    const happen = (id: string) => {
      for (const listener of listeners) listener({ t: 'event', id, queue: null })
    }
    await expect.poll(() => looks).toBe(1)
    await beyond(LOOKS_APART_MS)
    looks = 0
    const { id } = await receive()
    happen(id)
    await receiver.until(({ length }) => length === 1)
    await untilStatus('delivered')
    await beyond(2 * LOOKS_APART_MS)
    looks = 0
    const beganAt = performance.now()
    for (let n = 0; n < 200; n++) {
      happen(id)
      await slowly(2)
    }
    await beyond(LOOKS_APART_MS)
    expect(looks).toBeGreaterThan(1)
    expect(looks).toBeLessThanOrEqual(2 + (performance.now() - beganAt) / LOOKS_APART_MS)
  })

  it('is sent once for each event of an upload, in their order', async () => {
    await startWorker()
    const ready = await receive()
    await publishMedia(db, ready.mediaId)
    await deleteMedia(db, 'alice' as OwnerId, ready.mediaId, nothing)
    const bad = await receive()
    await rejectMedia(db, bad.mediaId, REASON, nothing)
    const broken = await receive()
    await failMedia(db, broken.mediaId, REASON, nothing)
    const terminated = await open()
    await terminateUpload(db, terminated, nothing)
    const refused = await open()
    await rejectUpload(db, refused, REASON, nothing)
    const late = created(await createUpload(db, newUpload('alice', { expiresAfterMs: 1 }), UNLIMITED))
    await expect.poll(() => expireUploads(db, [late], nothing), { interval: 10 }).toEqual([late])

    await receiver.until(({ length }) => length >= 10)
    await nothingFor(3 * TIMING.pollMs)
    const told = (id: UploadId) =>
      receiver.received.filter(({ uploadId }) => uploadId === id).map(({ type, data }) => [type, data.reason])
    expect(told(ready.id)).toEqual([
      ['upload.received', null],
      ['media.ready', null],
      ['media.deleted', null],
    ])
    expect(told(bad.id).slice(0, 1)).toEqual([['upload.received', null]])
    expect(
      new Set(
        told(bad.id)
          .slice(1)
          .map(([type]) => type),
      ),
    ).toEqual(new Set(['media.rejected', 'upload.rejected']))
    expect(
      told(bad.id)
        .slice(1)
        .every(([, reason]) => JSON.stringify(reason) === JSON.stringify(REASON)),
    ).toBe(true)
    expect(told(broken.id)).toEqual([
      ['upload.received', null],
      ['media.failed', REASON],
    ])
    expect(told(terminated.id)).toEqual([['upload.terminated', null]])
    expect(told(refused.id)).toEqual([['upload.rejected', REASON]])
    expect(told(late)).toEqual([['upload.expired', null]])
    expect(receiver.distinct()).toHaveLength(receiver.received.length)
    expect(receiver.maxAtOnce()).toBe(1)
  })
})

describe('a receiver that', () => {
  it('fails gets the same message again, with the same id, until the schedule is over', async () => {
    receiver.answer = status(500)
    await startWorker()
    await receive()
    await untilStatus('failed')
    expect(receiver.received).toHaveLength(3)
    expect(receiver.distinct()).toHaveLength(1)
    expect(new Set(receiver.received.map(({ body }) => body)).size).toBe(1)
    expect(await attempts()).toMatchObject([1, 2, 3].map((attempt) => ({ attempt, status: 500 })))
    expect(await deliveries()).toMatchObject([{ attempts: 3, last_status: 500, last_error: 'answered 500' }])
  })

  it('fails for one upload hears of the others, and of what follows in this one when it has been given up', async () => {
    await configureEndpoint(db, receiver.url)
    const blocked = await receive()
    receiver.answer = (response, { uploadId, type }) =>
      void response.writeHead(uploadId === blocked.id && type === 'upload.received' ? 500 : 204).end()
    // Not by itself while the other upload is told of.
    await startWorker({}, { schedule: [3_600_000] })
    await receiver.until((received) => received.some(({ uploadId }) => uploadId === blocked.id))
    await publishMedia(db, blocked.mediaId)
    const other = await receive('bob')
    await receiver.until((received) => received.some(({ uploadId }) => uploadId === other.id))
    await expect.poll(attempts, { timeout: 10_000, interval: 20 }).toHaveLength(2)
    await sql`update landfall.webhook_deliveries set next_attempt_at = now() where failures = 1`.execute(db)
    await untilStatus('failed', 'delivered', 'delivered')
    const order = receiver.received.map(
      ({ uploadId, type }) => `${uploadId === other.id ? 'other' : 'blocked'} ${type}`,
    )
    expect(order).toEqual([
      'blocked upload.received',
      'other upload.received',
      'blocked upload.received',
      'blocked media.ready',
    ])
  })

  it('hangs is not waited for, and asked again', async () => {
    receiver.answer = (response, _message, earlier) => {
      if (earlier.length > 0) response.writeHead(200).end('thanks')
    }
    await startWorker({}, SHORT)
    await receive()
    await untilStatus('delivered')
    const [first, second] = await attempts()
    expect(first).toMatchObject({ status: null, error: 'no answer in time' })
    expect(first?.duration_ms).toBeGreaterThanOrEqual(SHORT.timeoutMs - 20)
    expect(first?.duration_ms).toBeLessThan(SHORT.timeoutMs + 1000)
    expect(second).toMatchObject({ status: 200, error: null })
  })

  it('redirects is not followed', async () => {
    const elsewhere = await startReceiver()
    opened.push(elsewhere)
    receiver.answer = status(307, { Location: elsewhere.url })
    await startWorker()
    await receive()
    await untilStatus('failed')
    expect(await attempts()).toMatchObject(
      [1, 2, 3].map(() => ({ status: 307, error: 'answered 307; redirects are not followed' })),
    )
    expect(elsewhere.received).toEqual([])
  })

  it('closes the connection has not got it', async () => {
    receiver.answer = (response, _message, earlier) => {
      if (earlier.length === 0) response.socket?.destroy()
      else response.writeHead(202).end()
    }
    await startWorker()
    await receive()
    await untilStatus('delivered')
    expect(await attempts()).toMatchObject([
      { status: null, error: 'the connection failed (ECONNRESET)' },
      { status: 202, error: null },
    ])
  })

  it('is not there is tried again, and nothing is said of where it should be', async () => {
    await startWorker({ url: 'http://127.0.0.1:1/hook' })
    await receive()
    await untilStatus('failed')
    expect((await deliveries())[0]?.last_error).toBe('the connection failed (ECONNREFUSED)')
  })

  it.each([429, 503])('asks for time with %i and Retry-After gets it', async (code) => {
    receiver.answer = (response, _message, { length }) =>
      void response.writeHead(length === 0 ? code : 204, { 'Retry-After': '1' }).end()
    await startWorker()
    await receive()
    await untilStatus('delivered')
    const [first, second] = receiver.received
    expect((second?.atMs ?? 0) - (first?.atMs ?? 0)).toBeGreaterThanOrEqual(1000)
  })

  it('sends an endless body is believed its status and cut off', async () => {
    let bytes = 0
    const cut = Promise.withResolvers<void>()
    receiver.answer = (response) => {
      response.once('close', cut.resolve)
      response.writeHead(200)
      const more = () => {
        while (!response.destroyed && response.write(Buffer.alloc(16_384))) bytes += 16_384
      }
      response.on('drain', more)
      more()
    }
    await startWorker()
    await receive()
    await untilStatus('delivered')
    await cut.promise
    // What fits into the buffers of two sockets, and no stream.
    expect(bytes).toBeLessThan(16 * 1024 * 1024)
    expect((await attempts())[0]?.duration_ms).toBeLessThan(TIMING.timeoutMs)
  })

  it('answers 410 gets no more until it is enabled again', async () => {
    receiver.answer = status(410)
    await startWorker()
    const { mediaId } = await receive()
    await receiver.until(({ length }) => length === 1)
    await untilStatus('failed')
    await expect
      .poll(
        async () =>
          (await db.selectFrom('landfall.webhook_endpoints').selectAll().execute())[0]?.disabled_reason,
      )
      .toBe('gone')
    await publishMedia(db, mediaId)
    await nothingFor(3 * TIMING.pollMs)
    expect(receiver.received).toHaveLength(1)
    // Not even a worker that starts anew begins again by itself.
    await startWorker()
    await receive()
    await nothingFor(3 * TIMING.pollMs)
    expect(receiver.received).toHaveLength(1)

    receiver.answer = status(204)
    expect(await enableEndpoint(db, receiver.url)).toBe(true)
    await receive()
    await receiver.until(({ length }) => length === 2)
    expect(await enableEndpoint(db, receiver.url)).toBe(false)
  })

  it('answers 410 leaves nothing waiting', async () => {
    const { id } = await configureEndpoint(db, receiver.url)
    const { mediaId } = await receive()
    await publishMedia(db, mediaId)
    await disableEndpoint(db, id)
    expect(await deliveries()).toMatchObject([
      { status: 'failed', last_error: 'the endpoint is not in use any more' },
      { status: 'failed' },
    ])
  })
})

describe('an endpoint', () => {
  it.each(['127.0.0.1', 'localhost', '[::ffff:127.0.0.1]'])(
    'at %s is not connected to unless that is allowed',
    async (host) => {
      const url = receiver.url.replace('127.0.0.1', host)
      await startWorker({ url, allowPrivate: false })
      await receive()
      await untilStatus('failed')
      expect(receiver.received).toEqual([])
      expect((await attempts()).map(({ error }) => error)).toEqual(
        Array.from({ length: 3 }, () => 'the address is not a public one'),
      )
    },
  )

  it('that is replaced by another gets nothing more, and what waited for it ends as failed', async () => {
    const { id } = await configureEndpoint(db, 'https://former.example/hook')
    await receive()
    await startWorker()
    expect(await deliveries()).toMatchObject([{ endpoint_id: id, status: 'failed' }])
    await receive()
    await untilStatus('failed', 'delivered')
    await configureEndpoint(db, undefined)
    await receive()
    expect(await deliveries()).toHaveLength(2)
    // As before when it comes back.
    expect(await configureEndpoint(db, 'https://former.example/hook')).toEqual({ id, isDisabled: false })
  })
})

describe('workers', () => {
  it('that are killed in mid-delivery leave it to the next, under the same id', async () => {
    receiver.answer = (response, _message, { length }) => {
      if (length > 0) response.writeHead(204).end()
    }
    const options = {
      connectionString,
      webhook: webhook(),
      timing: { ...TIMING, timeoutMs: 60_000, leaseMs: SHORT_LEASE_MS },
    }
    const program = join(import.meta.dirname, 'support', 'webhook-worker.ts')
    const child: ChildProcess = fork(program, [JSON.stringify(options)], { execArgv: [] })
    const exited = once(child, 'exit')
    opened.push({
      async close() {
        child.kill('SIGKILL')
        await exited
      },
    })
    await configureEndpoint(db, receiver.url)
    await receive()
    await receiver.until(({ length }) => length === 1)
    child.kill('SIGKILL')
    await exited
    await startWorker()
    await untilStatus('delivered')
    const [first, second, ...more] = receiver.received
    expect(more).toEqual([])
    expect(second?.id).toBe(first?.id)
    expect(second?.body).toBe(first?.body)
    // Not before the lease of the killed one was over.
    expect((second?.atMs ?? 0) - (first?.atMs ?? 0)).toBeGreaterThan(SHORT_LEASE_MS - 500)
  })

  it('that stop hand back what they are at: another goes on at once', async () => {
    receiver.answer = (response, _message, { length }) => {
      if (length > 0) response.writeHead(204).end()
    }
    const patient = { timeoutMs: 60_000, leaseMs: 120_000 }
    const worker = await startWorker({}, patient)
    await receive()
    await receiver.until(({ length }) => length === 1)
    const begun = performance.now()
    await worker.close()
    // Not after the minute that the endpoint has.
    expect(performance.now() - begun).toBeLessThan(30_000)
    opened.pop()
    expect(await deliveries()).toMatchObject([{ status: 'pending', lease: null, attempts: 0 }])
    await startWorker({}, patient)
    await untilStatus('delivered')
    expect(receiver.distinct()).toHaveLength(1)
    expect(receiver.received).toHaveLength(2)
  })

  it('do not send what is replayed beside what is in flight of the same upload', async () => {
    const held = Promise.withResolvers<void>()
    await startWorker()
    const { mediaId } = await receive()
    await untilStatus('delivered')
    receiver.answer = async (response) => {
      await held.promise
      response.writeHead(204).end()
    }
    await publishMedia(db, mediaId)
    await receiver.until(({ length }) => length === 2)
    const id = receiver.received[0]?.id ?? ''
    expect(await replayDelivery(db, 'bob' as OwnerId, id)).toEqual({ kind: 'unknown' })
    expect(await replayDelivery(db, 'alice' as OwnerId, id)).toMatchObject({ kind: 'replayed' })
    await nothingFor(3 * TIMING.pollMs)
    expect(receiver.received).toHaveLength(2)
    held.resolve()
    await receiver.until(({ length }) => length === 3)
    expect(receiver.received[2]?.id).toBe(id)
    expect(receiver.maxAtOnce()).toBe(1)
  })

  it('that are two send each message once, one of an upload at a time, in order', async () => {
    receiver.answer = (response) => void slowly(10).then(() => response.writeHead(204).end())
    await configureEndpoint(db, receiver.url)
    const uploads = await Promise.all(Array.from({ length: 25 }, (_, i) => receive(`owner-${i % 3}`)))
    const workers = Promise.all([startWorker(), startWorker()])
    for (const { mediaId } of uploads) await publishMedia(db, mediaId)
    await workers
    await receiver.until(({ length }) => length >= 50)
    await untilStatus(...Array.from({ length: 50 }, () => 'delivered'))
    expect(receiver.received).toHaveLength(50)
    expect(receiver.distinct()).toHaveLength(50)
    expect(receiver.maxAtOnce()).toBe(1)
    for (const { id } of uploads) {
      const types = receiver.received.filter(({ uploadId }) => uploadId === id).map(({ type }) => type)
      expect(types).toEqual(['upload.received', 'media.ready'])
    }
  })
})

describe('the API', () => {
  let landfall: Landfall

  beforeEach(async () => {
    landfall = await startLandfall({ connectionString, withoutWorker: true })
    opened.push(landfall)
  })

  const get = async (sub: string, path: string, claims = {}) => {
    const headers = { Authorization: `Bearer ${landfall.token(sub, claims)}` }
    return await fetch(`${landfall.url}/api/v1/webhooks/deliveries${path}`, { headers })
  }
  const replay = async (sub: string, id: string) =>
    await landfall.as(sub)(`/api/v1/webhooks/deliveries/${id}/replay`, { method: 'POST' })

  it('shows owners their own deliveries, page by page, and an admin those of all', async () => {
    await configureEndpoint(db, receiver.url)
    for (const owner of ['alice', 'bob', 'alice', 'alice']) await receive(owner)
    const list = async (...args: Parameters<typeof get>) =>
      WebhookDeliveryList.strict().parse(await (await get(...args)).json())
    const first = await list('alice', '?limit=2')
    const rest = await list('alice', `?limit=2&cursor=${first.nextCursor}`)
    expect([first.items.length, rest.items.length, rest.nextCursor]).toEqual([2, 1, null])
    const ids = [...first.items, ...rest.items].map(({ id }) => id)
    expect(new Set(ids).size).toBe(3)
    expect([...first.items, ...rest.items].every(({ ownerId }) => ownerId === 'alice')).toBe(true)
    expect((await list('alice', '?status=delivered')).items).toEqual([])
    expect((await list('alice', '?status=pending')).items).toHaveLength(3)
    expect((await list('root', '', { scope: 'admin' })).items.map(({ ownerId }) => ownerId)).toEqual([
      'alice',
      'alice',
      'bob',
      'alice',
    ])
    expect((await list('root', '', { scope: 'administrator' })).items).toEqual([])

    const one = WebhookDeliveryWithAttempts.strict().parse(await (await get('alice', `/${ids[0]}`)).json())
    expect(one).toMatchObject({ type: 'upload.received', status: 'pending', attempts: [] })
    expect(JSON.stringify(one)).not.toContain('of-the-operator')
    expect((await get('bob', `/${ids[0]}`)).status).toBe(404)
    expect((await replay('bob', ids[0] ?? '')).status).toBe(404)
    expect((await get('root', `/${ids[0]}`, { scope: 'admin' })).status).toBe(200)
    for (const path of ['?limit=0', '?limit=101', '?status=lost', '?cursor=x', '?cursor=MS41'])
      expect((await get('alice', path)).status, path).toBe(400)
    for (const id of ['x', `msg_${'0'.repeat(32)}`, '%00'])
      expect((await get('alice', `/${id}`)).status).toBe(404)
  })

  it('sends again what was delivered and what had failed, under the same id', async () => {
    receiver.answer = (response, _message, { length }) =>
      void response.writeHead(length < 3 ? 500 : 204).end()
    await startWorker()
    await receive()
    await untilStatus('failed')
    const id = receiver.received[0]?.id ?? ''
    const answer = await replay('alice', id)
    expect(answer.status).toBe(202)
    expect(WebhookDelivery.strict().parse(await answer.json())).toMatchObject({ id, status: 'pending' })
    await untilStatus('delivered')
    expect((await replay('alice', id)).status).toBe(202)
    await receiver.until(({ length }) => length === 5)
    await untilStatus('delivered')
    expect(receiver.distinct()).toHaveLength(1)
    const one = WebhookDeliveryWithAttempts.parse(await (await get('alice', `/${id}`)).json())
    expect(one.attempts.map(({ attempt, status }) => [attempt, status])).toEqual([
      [1, 500],
      [2, 500],
      [3, 500],
      [4, 204],
      [5, 204],
    ])
  })

  it('refuses to send to nobody', async () => {
    await configureEndpoint(db, receiver.url)
    await receive()
    await configureEndpoint(db, undefined)
    const [delivery] = await deliveries()
    const answer = await replay('alice', delivery?.id ?? '')
    expect(answer.status).toBe(409)
    expect(await answer.json()).toMatchObject({ code: 'webhooks-off' })
  })
})

it('a whole Landfall tells of a file from its last byte to its deletion', async () => {
  const env = {
    WEBHOOK_URL: receiver.url,
    WEBHOOK_SECRET: SECRETS.join(' '),
    WEBHOOK_ALLOW_PRIVATE: 'true',
    SCAN: 'off',
  }
  const landfall = await startLandfall({ connectionString, env })
  opened.push(landfall)
  const media = await processFile(landfall, 'alice', await jpeg({ width: 800, height: 600 }))
  await landfall.as('alice')(`/api/v1/media/${media.id}`, { method: 'DELETE' })
  await receiver.until(({ length }) => length >= 3)
  expect(receiver.received.map(({ type }) => type)).toEqual([
    'upload.received',
    'media.ready',
    'media.deleted',
  ])
  const { data } = receiver.received[1] ?? {}
  expect(data).toMatchObject({
    id: media.id,
    uploadId: media.uploadId,
    ownerId: 'alice',
    status: 'ready',
    contentType: 'image/jpeg',
    width: 800,
    height: 600,
    sha256: media.sha256,
  })
  expect(Object.keys(data ?? {}).filter((name) => /url/i.test(name))).toEqual([])
})

it('landfall webhooks lists, replays and enables', async () => {
  const main = join(import.meta.dirname, '..', 'landfall.ts')
  const run = async (args: string[]) => {
    const { exitCode, stdout, stderr } = await execa(
      globalThis.process.execPath,
      [main, 'webhooks', ...args],
      {
        env: { DATABASE_URL: connectionString, WEBHOOK_URL: receiver.url, WEBHOOK_SECRET: SECRETS[0] },
        extendEnv: false,
        reject: false,
      },
    )
    return { exitCode, stdout, stderr }
  }
  const { id: endpointId } = await configureEndpoint(db, receiver.url)
  const { id: uploadId } = await receive()
  const [delivery] = await deliveries()
  const id = delivery?.id ?? ''
  const wrong = 'landfall: webhooks takes list, replay ID or enable'
  const [listed, replayed, none, nameless] = await Promise.all([
    run(['list']),
    run(['replay', id]),
    run(['replay', 'msg_none']),
    run(['replay']),
  ])
  expect(listed).toMatchObject({ exitCode: 0, stderr: '' })
  expect(listed.stdout).toMatch(
    new RegExp(`^\\S+Z {2}${id} {2}pending {2}0 {2}upload.received {2}${uploadId}$`),
  )
  expect(replayed).toEqual({ exitCode: 0, stdout: `${id} is due now`, stderr: '' })
  expect(none).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('no delivery "msg_none"') })
  expect(nameless).toEqual({ exitCode: 2, stdout: '', stderr: wrong })
  await disableEndpoint(db, endpointId)
  expect(await run(['enable'])).toMatchObject({ exitCode: 0, stdout: 'the endpoint is enabled again' })
}, 30_000)
