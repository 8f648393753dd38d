import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { requires } from './services/requirements.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { countedUsage } from './support/quota.ts'
import { asJpeg } from './support/sample-bytes.ts'
import { enterableDirectory, type Run, runServer, stopRun } from './support/server-process.ts'
import { inTenant } from './support/tenant.ts'

const ceph = requires('ceph')
const SIZE = 5000
const BYTES = new Uint8Array(asJpeg(Buffer.alloc(SIZE, 'x')))
const AT_ONCE = 24
const ENV = {
  SCAN: 'off',
  UPLOAD_MAX_OPEN: '100',
  QUOTA_BYTES: String(10 * SIZE),
  UPLOAD_MAX_SIZE: String(SIZE),
}

/** Begins an upload of `SIZE` bytes, and sends it where the way has it so; gives the status of the creation. */
type Begin = (url: string, token: string) => Promise<number>

const statusOf = async (response: Promise<Response>): Promise<number> => {
  const { status, body } = await response
  await body?.cancel()
  return status
}
const bearer = (token: string) => ({ Authorization: `Bearer ${token}` })
const direct = (url: string, token: string, path: string, init: RequestInit = {}) =>
  statusOf(
    fetch(`${url}/api/v1/direct-uploads${path}`, {
      ...init,
      headers: { ...bearer(token), 'Content-Type': 'application/json' },
    }),
  )

const WAYS: Readonly<Record<string, { ok: number; begin: Begin }>> = {
  tus: {
    ok: 201,
    begin: (url, token) =>
      statusOf(
        fetch(`${url}/files`, {
          method: 'POST',
          headers: { ...bearer(token), 'Tus-Resumable': '1.0.0', 'Upload-Length': String(SIZE) },
        }),
      ),
  },
  'a form': {
    ok: 201,
    begin: (url, token) => {
      const body = new FormData()
      body.set('file', new Blob([BYTES]), 'a.jpg')
      return statusOf(fetch(`${url}/api/v1/media`, { method: 'POST', headers: bearer(token), body }))
    },
  },
  'a direct upload': {
    ok: 201,
    begin: (url, token) => direct(url, token, '', { method: 'POST', body: JSON.stringify({ size: SIZE }) }),
  },
  'a form to the bucket': { ok: 200, begin: (url, token) => direct(url, token, '/s3/params') },
}

describe.skipIf(!ceph.met)('four server processes', () => {
  let landfall: Landfall
  let urls: string[]
  const runs: { run: Run; directory: string }[] = []

  beforeAll(async () => {
    landfall = await startLandfall({ storage: 's3', withoutWorker: true, env: ENV })
    for (let count = 0; count < 4; count++) {
      const directory = await enterableDirectory()
      const env = {
        ...ENV,
        ...landfall.storageEnv,
        DATABASE_URL: landfall.connectionString,
        WORKER: 'off',
        LOG_LEVEL: 'error',
      }
      runs.push({ directory, run: runServer(directory, { env }) })
    }
    urls = await Promise.all(runs.map(({ run }) => run.address))
  }, 120_000)
  afterAll(async () => {
    for (const { run, directory } of runs) await stopRun(run, directory)
    await landfall?.close()
  })

  async function ticket(owner: string, count: number): Promise<string> {
    const answer = await inTenant(landfall, null, 'service').as('backend')('/api/v1/tickets', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ owner, count }),
    })
    return ((await answer.json()) as { token: string }).token
  }
  const atOnce = async (begin: Begin, token: string) =>
    (
      await Promise.all(Array.from({ length: AT_ONCE }, (_, index) => begin(urls[index % 4] ?? '', token)))
    ).sort()

  it.each(Object.entries(WAYS))(
    'let %s begin with a ticket as often as it says',
    async (name, { ok, begin }) => {
      for (const count of [1, 1, 3]) {
        const owner = `${name}-${count}-${Math.random()}`
        const statuses = await atOnce(begin, await ticket(owner, count))
        expect(statuses).toEqual([...Array(count).fill(ok), ...Array(AT_ONCE - count).fill(403)])
      }
    },
  )

  it.each(Object.entries(WAYS))(
    'let %s begin as often as the quota has room',
    async (name, { ok, begin }) => {
      const owner = `quota of ${name}`
      const statuses = await atOnce(begin, landfall.token(owner))
      expect(statuses).toEqual([...Array(10).fill(ok), ...Array(AT_ONCE - 10).fill(413)])
      const [usage] = await countedUsage(landfall.db, [owner])
      expect((usage?.used_bytes ?? 0) + (usage?.reserved_bytes ?? 0)).toBe(10 * SIZE)
    },
  )
})
