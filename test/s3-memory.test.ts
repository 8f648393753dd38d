import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { type ClientRequest, request } from 'node:http'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { requires } from './services/requirements.ts'
import { type Bucket, freshBucket } from './support/bucket.ts'
import { betweenLooks, slowly } from './support/pauses.ts'
import { patterned } from './support/s3-landfall.ts'
import { type ServerProcess, startServerProcess } from './support/server-process.ts'
import { createId, head, patch, terminate } from './support/tus.ts'

const ceph = requires('ceph')
const MB = 1_000_000
const CLIENTS = 100
const SENT = 5 * MB
/** Of each client, when none stops. */
const FLOWING = 8 * MB
const BUDGET = 256 * MB
const BESIDE_BUDGET = 150 * MB

/** A hundred clients at a time that send a little and then fall silent, more than the memory budget holds. */
describe.skipIf(!ceph.met || process.platform !== 'linux')('memory of a server on S3', () => {
  let bucket: Bucket
  let server: ServerProcess
  beforeAll(async () => {
    bucket = await freshBucket()
    server = await startServerProcess({
      ...bucket.env(),
      UPLOAD_MAX_SIZE: '6GB',
      UPLOAD_MAX_OPEN: '1000',
      WORKER: 'off',
      SCAN: 'off',
      LOG_LEVEL: 'warn',
    })
  })
  afterAll(async () => {
    await server?.stop()
    await bucket?.close()
  })

  const sub = (client: number) => `owner-${client % 10}`

  it.each([
    ['50 MB', 50 * MB],
    ['5 GB', 5_000 * MB],
  ])(
    'stays within the budget and 150 MB, whether files have %s; nobody is held back; nothing is lost',
    async (_, size) => {
      const bytes = patterned(SENT, 'memory')
      const ids = await Promise.all(
        Array.from({ length: CLIENTS }, (_, client) => createId(server, sub(client), { size })),
      )
      const requests = ids.map((id, client) => stallingPatch(id, sub(client), size))
      // All of them a bit at a time, as on slow lines.
      for (let at = 0; at < SENT; at += MB / 4) {
        await Promise.all(requests.map((sent) => write(sent, bytes.subarray(at, at + MB / 4))))
      }

      // While they are silent, another one is served as if they were not there.
      const began = performance.now()
      const whole = patterned(20 * MB, 'other')
      const other = await createId(server, 'other', { size: whole.length })
      expect((await patch(server, 'other', other, { offset: 0, body: whole })).status).toBe(204)
      expect(performance.now() - began).toBeLessThan(20_000)

      expect(await peakBytes(server.run().pid)).toBeLessThan(BUDGET + BESIDE_BUDGET)
      for (const sent of requests) sent.destroy()
      for (const [client, id] of ids.entries()) {
        const answer = await untilFree(id, sub(client))
        expect(Number(answer.headers.get('Upload-Offset'))).toBe(SENT)
      }
      await Promise.all(ids.map((id, client) => terminate(server, sub(client), id)))
    },
  )

  it('stays within them as well while all of it flows', async () => {
    const bytes = patterned(FLOWING, 'flow')
    const ids = await Promise.all(
      Array.from({ length: CLIENTS }, (_, client) => createId(server, sub(client), { size: FLOWING })),
    )
    const requests = ids.map((id, client) => stallingPatch(id, sub(client), FLOWING))
    const answers = requests.map((sent) => once(sent, 'response'))
    await Promise.all(requests.map((sent) => writeSlowly(sent, bytes)))
    for (const answer of answers) {
      const [received] = await answer
      expect([received.statusCode, await text(received)]).toEqual([204, ''])
    }
    expect(await peakBytes(server.run().pid)).toBeLessThan(BUDGET + BESIDE_BUDGET)
  }, 180_000)

  /**
   * In pieces, each when the one before it has left. Forty megabytes a second in all: a gateway that shares two cores with
   * other tests takes no more, and leaves calls without an answer for so long that they are given up.
   */
  async function writeSlowly(sent: ClientRequest, bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; at += MB / 10) {
      await write(sent, bytes.subarray(at, at + MB / 10))
      await slowly(250)
    }
    sent.end()
  }

  function stallingPatch(id: string, owner: string, size: number): ClientRequest {
    const sent = request(`${server.url}/files/${id}`, {
      method: 'PATCH',
      agent: false,
      headers: {
        Authorization: `Bearer ${server.token(owner)}`,
        'Tus-Resumable': '1.0.0',
        'Upload-Offset': '0',
        'Content-Type': 'application/offset+octet-stream',
        'Content-Length': String(size),
      },
    })
    // They are destroyed in the end.
    sent.on('error', () => {})
    sent.flushHeaders()
    return sent
  }

  async function write(sent: ClientRequest, bytes: Uint8Array): Promise<void> {
    if (!sent.write(bytes)) await once(sent, 'drain')
  }

  /** The server may still be storing what the connection brought before it broke. */
  async function untilFree(id: string, owner: string): Promise<Response> {
    for (;;) {
      const answer = await head(server, owner, id)
      if (answer.status === 200) return answer
      expect(answer.status).toBe(423)
      await betweenLooks(50)
    }
  }
})

/** The most memory the process has had at a time. */
async function peakBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024
}
