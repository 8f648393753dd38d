import { once } from 'node:events'
import { connect } from 'node:net'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { nothingFor } from './support/pauses.ts'
import { describeStorages } from './support/storages.ts'
import { createId, terminate } from './support/tus.ts'

/** Longer than a refused client may go on sending. */
const BEYOND_LINGER_MS = 6_000

describeStorages('a connection on which a PATCH was refused', (storage) => {
  let landfall: Landfall

  beforeAll(async () => {
    landfall = await startLandfall({ storage, withoutWorker: true })
  })
  afterAll(() => landfall?.close())

  it('stays good for the requests that follow, once the refused body has arrived', async () => {
    const id = await createId(landfall, 'alice', { size: 134_000, metadata: { filename: 'a.mp4' } })
    await terminate(landfall, 'alice', id)
    const { hostname, port } = new URL(landfall.url)
    const socket = connect(Number(port), hostname).setEncoding('utf8')
    let received = ''
    socket.on('data', (text: string) => {
      received += text
    })
    const closed = once(socket, 'close').then(() => 'closed')
    socket.write(
      [
        `PATCH /files/${id} HTTP/1.1`,
        `Host: ${hostname}`,
        `Authorization: Bearer ${landfall.token('alice')}`,
        'Tus-Resumable: 1.0.0',
        'Upload-Offset: 0',
        'Content-Type: application/offset+octet-stream',
        'Content-Length: 134000',
        '',
        'x'.repeat(134_000),
      ].join('\r\n'),
    )
    expect(await Promise.race([closed, nothingFor(BEYOND_LINGER_MS, 'open')])).toBe('open')
    expect(received).toMatch(/^HTTP\/1.1 410 /)

    received = ''
    socket.write(`GET /healthz HTTP/1.1\r\nHost: ${hostname}\r\n\r\n`)
    await expect.poll(() => received, { timeout: 5_000 }).toMatch(/^HTTP\/1.1 200 /)
    socket.destroy()
  })
})
