import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { S3 } from './s3.ts'
import { BodyUnreadable } from './s3-errors.ts'

let server: Server
let s3: S3
let requests: number

beforeEach(async () => {
  requests = 0
  server = createServer((request, response) => {
    requests += 1
    request.on('error', () => {
      // Broken off, as it should be.
    })
    request.resume().once('end', () => void response.writeHead(200, { ETag: '"1"' }).end())
  })
  server.listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  s3 = new S3({
    bucket: 'bucket',
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
    memoryBudget: 128 * 1024 * 1024,
  })
})
afterEach(async () => {
  s3.client.destroy()
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
})

const servedAs = { contentType: 'video/mp4', disposition: 'inline' } as const

// A scratch folder is taken away from a worker that has lost its job, while it stores what is in it.
it.each([
  ['before its first byte', 0],
  ['in the middle', 1],
])(
  'a body that cannot be read to its end fails the call, once, and nothing else: %s',
  async (_when, chunks) => {
    const gone = new Error('ENOENT: no such file or directory')
    async function* read() {
      for (let i = 0; i < chunks; i++) yield Buffer.alloc(1000)
      throw gone
    }
    const body = { size: 2000, sha256: '0'.repeat(64), chunks: read }
    const failure = await s3.put('key', body, servedAs).catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(BodyUnreadable)
    expect(failure).toMatchObject({ cause: gone })
    expect(requests).toBeLessThanOrEqual(1)
  },
)
