import { afterAll, beforeAll, expect, it } from 'vitest'
import { freshDatabase, type Landfall, startLandfall } from './support/landfall.ts'
import { nothingFor } from './support/pauses.ts'
import { startTcpProxy, type TcpProxy } from './support/tcp-proxy.ts'
import { createId, head, patch } from './support/tus.ts'

let network: TcpProxy
let landfall: Landfall
let id: string

beforeAll(async () => {
  const database = new URL(await freshDatabase())
  network = await startTcpProxy(`http://${database.host}`)
  database.host = new URL(network.url).host
  landfall = await startLandfall({ withoutWorker: true, connectionString: database.href })
  id = await createId(landfall, 'alice', { size: 2000 })
})
afterAll(async () => {
  network?.restore()
  await landfall?.close()
  await network?.close()
})

it('HEAD of tus 1.0 is held until the database is back', async () => {
  network.cut()
  const asked = head(landfall, 'alice', id)
  expect(await Promise.race([asked, nothingFor(2_000, 'held')])).toBe('held')
  network.restore()
  const answer = await asked
  expect([answer.status, answer.headers.get('Upload-Offset')]).toEqual([200, '0'])
})

it('HEAD of tus 1.0 says 423 and when to ask again where the database stays away; other requests say 503', async () => {
  network.cut()
  try {
    const began = performance.now()
    const answers = await Promise.all([
      head(landfall, 'alice', id),
      patch(landfall, 'alice', id, { offset: 0, body: Buffer.alloc(10) }),
      landfall.as('alice')(`/api/v1/uploads/${id}`),
      // Of the draft, whose clients know 503.
      landfall.as('alice')(`/files/${id}`, { method: 'HEAD' }),
    ])
    expect(answers.map(({ status }) => status)).toEqual([423, 503, 503, 503])
    for (const { headers } of answers) expect(Number(headers.get('Retry-After'))).toBeGreaterThan(0)
    expect(answers[0]?.headers.get('Tus-Resumable')).toBe('1.0.0')
    expect(performance.now() - began).toBeLessThan(20_000)
  } finally {
    network.restore()
  }
})
