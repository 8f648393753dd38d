import { once } from 'node:events'
import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { asJpeg } from './support/sample-bytes.ts'
import { createId, patch } from './support/tus.ts'

describe('at the edge of the protocols', () => {
  let landfall: Landfall
  beforeAll(async () => {
    landfall = await startLandfall({ withoutWorker: true })
  })
  afterAll(() => landfall?.close())

  const draft = (headers: Record<string, string>, body = asJpeg(Buffer.alloc(2000))) =>
    fetch(`${landfall.url}/files`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${landfall.token('alice')}`, 'Upload-Complete': '?1', ...headers },
      body: new Uint8Array(body),
    })

  it.each(['Want-Repr-Digest', 'Repr-Digest', 'Content-Digest'])(
    'a name in %s that objects have anyway is no algorithm',
    async (field) => {
      const value = field === 'Want-Repr-Digest' ? 'constructor=5' : 'constructor=:AAAA:'
      expect((await draft({ [field]: value })).status).toBe(201)
    },
  )

  it('HTTP/1.0 gets no interim response', async () => {
    const { hostname, port } = new URL(landfall.url)
    const socket = connect(Number(port), hostname)
    const body = asJpeg(Buffer.alloc(2000))
    socket.write(
      `POST /files HTTP/1.0\r\nAuthorization: Bearer ${landfall.token('alice')}\r\nContent-Length: ${body.length}\r\n` +
        'Upload-Complete: ?1\r\nUpload-Draft-Interop-Version: 8\r\n\r\n',
    )
    socket.write(body)
    const [first] = (await once(socket, 'data')) as [Buffer]
    expect(String(first).split('\r\n', 1)[0]).toBe('HTTP/1.1 201 Created')
    socket.destroy()
  })

  it('garbage behind a request whose response is under way ends the connection, and not the response', async () => {
    const id = await createId(landfall, 'alice', { size: 2000 })
    const { hostname, port } = new URL(landfall.url)
    const socket = connect(Number(port), hostname)
    let text = ''
    socket.on('data', (chunk) => {
      text += String(chunk)
    })
    socket.write(
      `GET /api/v1/uploads/${id}/events HTTP/1.1\r\nHost: ${hostname}\r\nAuthorization: Bearer ${landfall.token('alice')}\r\n\r\n`,
    )
    await expect.poll(() => text).toContain('upload.created')
    const closed = once(socket, 'close')
    socket.write('garbage\r\n\r\n')
    await closed
    expect(text.split('HTTP/1.1 ')).toHaveLength(2)
  })

  it('HEAD of the events ends', async () => {
    const id = await createId(landfall, 'alice', { size: 2000 })
    const answer = await landfall.as('alice')(`/api/v1/uploads/${id}/events`, { method: 'HEAD' })
    expect([answer.status, answer.headers.get('Content-Type')]).toEqual([
      200,
      expect.stringContaining('event-stream'),
    ])
  })

  it('another length than the declared one is an error, with a checksum as well', async () => {
    const id = await createId(landfall, 'alice', { size: 2000 })
    const headers = {
      'Upload-Length': '3000',
      'Upload-Checksum': `crc32 ${Buffer.alloc(4).toString('base64')}`,
    }
    const answer = await patch(landfall, 'alice', id, {
      offset: 0,
      body: asJpeg(Buffer.alloc(1000)),
      headers,
    })
    expect(answer.status).toBe(400)
  })
})
