import { createServer as createHttpServer, type IncomingMessage, request } from 'node:http'
import { type AddressInfo, connect, createServer, type Server } from 'node:net'
import { sql } from 'kysely'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { UploadId } from '../ledger/ids.ts'
import { parseConfig } from '../server/config.ts'
import { storageOptionsOf } from '../server/storage-options.ts'
import { openStorage } from '../storage/storage.ts'
import type { UploadBytes } from '../storage/store/upload-bytes.ts'
import { requires } from './services/requirements.ts'
import { freshBucket } from './support/bucket.ts'
import { freshDatabase, startLandfall } from './support/landfall.ts'
import { slowly } from './support/pauses.ts'
import { patterned, type S3Landfall, startS3Landfall } from './support/s3-landfall.ts'
import { create, createId, head, idOf, patch, terminate } from './support/tus.ts'

const ceph = requires('ceph')
const MIB = 1024 * 1024
const AS_PICTURE = { metadata: { filename: 'a.jpg', filetype: 'image/jpeg' } }

/** Answers that do not come, come from somebody else, or come at the worst moment. */
describe.skipIf(!ceph.met)('bytes in S3 survive', () => {
  it('a commit whose reply is lost: what it made count stays', async () => {
    const bucket = await freshBucket()
    const ledger = await ledgerThatHangsUp(await freshDatabase())
    const landfall = await startLandfall({
      connectionString: ledger.url,
      env: { ...bucket.env(), SCAN: 'off' },
      withoutWorker: true,
    })
    onTestFinished(async () => {
      await landfall.close()
      ledger.close()
      await bucket.close()
    })
    const bytes = patterned(20 * MIB, 'reply')
    const id = await createId(landfall, 'alice', { size: bytes.length, ...AS_PICTURE })
    const send = (from: number, to?: number) =>
      patch(landfall, 'alice', id, { offset: from, body: bytes.subarray(from, to) })
    expect((await send(0, 10 * MIB)).status).toBe(204)
    ledger.hangUpAfter('upload_tails t set etag')
    expect((await send(10 * MIB, 11 * MIB)).status).toBeGreaterThanOrEqual(500)
    expect(ledger.hangUps()).toBe(1)
    expect((await head(landfall, 'alice', id)).headers.get('Upload-Offset')).toBe(String(11 * MIB))
    expect((await send(11 * MIB)).status).toBe(204)
  })

  it('a page that says 404 in the place of the bucket', async () => {
    const bucket = await freshBucket()
    const front = await frontOf(bucket.endpoint)
    const landfall = await startLandfall({
      env: { ...bucket.env(front.url), SCAN: 'off' },
      withoutWorker: true,
    })
    onTestFinished(async () => {
      await landfall.close()
      front.close()
      await bucket.close()
    })
    const bytes = patterned(30 * MIB, 'page')
    const id = await createId(landfall, 'alice', { size: bytes.length, ...AS_PICTURE })
    const send = (from: number, to?: number) =>
      patch(landfall, 'alice', id, { offset: from, body: bytes.subarray(from, to) })
    expect((await send(0, 10 * MIB)).status).toBe(204)
    front.answer404Once(({ url }) => url?.includes('partNumber') ?? false)
    expect((await send(10 * MIB, 20 * MIB)).status).toBe(503)
    expect((await head(landfall, 'alice', id)).headers.get('Upload-Offset')).toBe(String(10 * MIB))
    expect((await send(10 * MIB, 20 * MIB)).status).toBe(204)
  })

  it('a sweep of the upload while it opens its multipart upload', async () => {
    const landfall = await startS3Landfall({ env: { SCAN: 'off' }, withoutWorker: true })
    onTestFinished(() => landfall.close())
    const bytes = patterned(20 * MIB, 'sweep')
    const id = await createId(landfall, 'alice', { size: bytes.length, ...AS_PICTURE })
    expect((await patch(landfall, 'alice', id, { offset: 0, body: bytes.subarray(0, MIB) })).status).toBe(204)
    await sql`insert into landfall.upload_tails (upload_id, storage_key, "offset", size, dropped_at)
      values (${id}, 'uploads/old.tail', 0, 1, now() - interval '20 minutes')`.execute(landfall.db)
    const fault = landfall.proxy.fail({
      what: 'stall-after',
      when: ({ operation }) => operation === 'CreateMultipartUpload',
    })
    const answer = patch(landfall, 'alice', id, { offset: MIB, body: bytes.subarray(MIB, 12 * MIB) })
    await expect.poll(() => landfall.proxy.calls.some(({ fault }) => fault === 'stall-after')).toBe(true)
    await expect.poll(() => landfall.bucket.openMultiparts()).toHaveLength(1)
    await (await uploadBytesOf(landfall)).sweep(id as UploadId)
    fault.stop()
    expect((await answer).status).toBe(204)
  })

  it('being assembled twice when they were one part', async () => {
    const landfall = await startS3Landfall({ env: { SCAN: 'off' }, withoutWorker: true })
    onTestFinished(() => landfall.close())
    const bytes = patterned(8 * MIB, 'one part')
    const created = await fetch(`${landfall.url}/files`, {
      method: 'POST',
      headers: {
        Authorization: `Bearer ${landfall.token('alice')}`,
        'Tus-Resumable': '1.0.0',
        'Upload-Defer-Length': '1',
      },
    })
    const id = idOf(created)
    expect((await patch(landfall, 'alice', id, { offset: 0, body: bytes })).status).toBe(204)
    const declared = { 'Upload-Length': String(bytes.length) }
    const last = { offset: bytes.length, body: new Uint8Array(), headers: declared }
    expect((await patch(landfall, 'alice', id, last)).status).toBe(204)
    const uploadBytes = await uploadBytesOf(landfall)
    const first = await uploadBytes.assemble(id as UploadId)
    expect(await uploadBytes.assemble(id as UploadId)).toEqual(first)
  })
})

describe.skipIf(!ceph.met)('nothing is left in S3', () => {
  it('of a terminated upload, when a page says 404 in the place of the bucket', async () => {
    const bucket = await freshBucket()
    const front = await frontOf(bucket.endpoint)
    const landfall = await startLandfall({ env: { ...bucket.env(front.url), SCAN: 'off' } })
    onTestFinished(async () => {
      await landfall.close()
      front.close()
      await bucket.close()
    })
    const bytes = patterned(5 * MIB, 'abort')
    const id = await createId(landfall, 'alice', { size: 20 * MIB, ...AS_PICTURE })
    expect((await patch(landfall, 'alice', id, { offset: 0, body: bytes })).status).toBe(204)
    front.answer404Once(({ method, url }) => method === 'DELETE' && (url?.includes('uploadId') ?? false))
    expect((await terminate(landfall, 'alice', id)).status).toBe(204)
    await expect.poll(() => bucket.openMultiparts(), { timeout: 15_000 }).toEqual([])
  })

  it('of a whole file whose commit failed, when it is sent in parts after that and ended', async () => {
    const landfall = await startS3Landfall({ env: { SCAN: 'off' } })
    onTestFinished(() => landfall.close())
    const bytes = patterned(6 * MIB, 'whole')
    const id = idOf(await create(landfall, 'alice', { size: bytes.length, ...AS_PICTURE }))
    const fault = landfall.proxy.fail({
      what: 'stall-after',
      when: ({ operation }) => operation === 'PutObject',
    })
    const whole = patch(landfall, 'alice', id, { offset: 0, body: bytes })
    await expect.poll(() => landfall.bucket.keys()).toHaveLength(1)
    // As when the process is killed at this point, or has lost its lease.
    await landfall.db.deleteFrom('landfall.upload_locks').execute()
    fault.stop()
    expect((await whole).status).toBe(423)
    const part = { offset: 0, body: bytes.subarray(0, 5 * MIB) }
    expect((await patch(landfall, 'alice', id, part)).status).toBe(204)
    expect((await terminate(landfall, 'alice', id)).status).toBe(204)
    await expect.poll(() => landfall.bucket.keys(), { timeout: 10_000 }).toEqual([])
    await expect.poll(() => landfall.bucket.openMultiparts(), { timeout: 10_000 }).toEqual([])
  })
})

async function uploadBytesOf({ bucket, db }: S3Landfall): Promise<UploadBytes> {
  const storage = await openStorage(storageOptionsOf(parseConfig(bucket.env(), { auth: false })), db)
  onTestFinished(() => storage.close())
  return storage.bytes
}

/** A way to the database on which the reply to one statement is lost with its connection. */
async function ledgerThatHangsUp(target: string) {
  const { hostname, port } = new URL(target)
  let fatal: string | undefined
  let hangUps = 0
  const server = createServer((client) => {
    const database = connect(Number(port), hostname)
    const prepared = new Map<string, string>()
    let isDoomed = false
    let hasStarted = false
    const end = () => {
      client.destroy()
      database.destroy()
    }
    for (const socket of [client, database]) socket.on('error', end).on('close', end)
    client.on('data', (data) => {
      const isRun = hasStarted ? statementsIn(data, prepared) : []
      hasStarted = true
      if (fatal !== undefined && isRun.some((text) => text.includes(fatal ?? ''))) {
        fatal = undefined
        isDoomed = true
      }
      database.write(data)
    })
    database.on('data', (data) => {
      if (!isDoomed) return client.write(data)
      // It has done what it was asked to do.
      hangUps += 1
      void slowly(200).then(end)
    })
  })
  const address = await listening(server)
  return {
    url: Object.assign(new URL(target), { hostname: '127.0.0.1', port: String(address.port) }).href,
    hangUpAfter(statement: string) {
      fatal = statement
    },
    hangUps: () => hangUps,
    close: () => server.close(),
  }
}

/**
 * The statements that whole messages of PostgreSQL's protocol run, also those that their connection has prepared before:
 * of these only the name is sent.
 */
function statementsIn(data: Buffer, prepared: Map<string, string>): string[] {
  const run: string[] = []
  for (let at = 0; at + 5 <= data.length; at += 1 + data.readInt32BE(at + 1)) {
    const [first = '', second = ''] = data
      .subarray(at + 5, at + 1 + data.readInt32BE(at + 1))
      .toString('latin1')
      .split('\0', 2)
    switch (String.fromCharCode(data[at] ?? 0)) {
      case 'Q':
        run.push(first)
        break
      case 'P':
        prepared.set(first, second)
        break
      case 'B':
        run.push(prepared.get(second) ?? '')
        break
    }
  }
  return run
}

/** An ingress before the bucket that may not know it for a moment. */
async function frontOf(endpoint: string) {
  const { hostname, port } = new URL(endpoint)
  let isAstray: ((incoming: IncomingMessage) => boolean) | undefined
  const server = createHttpServer((incoming, answer) => {
    if (isAstray?.(incoming)) {
      isAstray = undefined
      incoming.resume().on('end', () => answer.writeHead(404, { 'Content-Type': 'text/html' }).end('<html>'))
      return
    }
    const { method, url: path, rawHeaders } = incoming
    const forwarded = request({ hostname, port, method, path, headers: rawHeaders }, (reply) => {
      answer.writeHead(reply.statusCode ?? 502, reply.headers)
      reply.pipe(answer)
    })
    forwarded.on('error', () => answer.destroy())
    incoming.pipe(forwarded)
  })
  const address = await listening(server)
  return {
    url: `http://127.0.0.1:${address.port}`,
    answer404Once(which: (incoming: IncomingMessage) => boolean) {
      isAstray = which
    },
    close() {
      server.closeAllConnections()
      server.close()
    },
  }
}

async function listening(server: Server): Promise<AddressInfo> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return server.address() as AddressInfo
}
