import { once } from 'node:events'
import { readdir, readlink } from 'node:fs/promises'
import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { jpeg } from './fixtures/media.ts'
import { requires } from './services/requirements.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { type S3Landfall, startS3Landfall } from './support/s3-landfall.ts'
import type { S3Call } from './support/s3-proxy.ts'
import { type MediaJson, process } from './support/uploads.ts'

const clamd = requires('clamd')
const ceph = requires('ceph')
const FDS = '/proc/self/fd'

// The server runs in this process, so its open files can be counted where the system shows them.
describe.skipIf(!clamd.met || globalThis.process.platform !== 'linux')(
  'clients that leave while content is served',
  () => {
    let landfall: Landfall
    let media: MediaJson

    beforeAll(async () => {
      landfall = await startLandfall()
      media = await process(landfall, 'alice', await jpeg({ width: 1600, height: 900 }))
    })
    afterAll(() => landfall?.close())

    it('leave no open file behind', async () => {
      await leaveOften(landfall, media)
      await vi.waitFor(async () => expect(await openObjects(landfall.dataDirectory)).toEqual([]), {
        timeout: 5_000,
      })
    })
  },
)

describe.skipIf(!clamd.met || !ceph.met)('clients that leave while content is served from a bucket', () => {
  let landfall: S3Landfall
  let media: MediaJson

  beforeAll(async () => {
    landfall = await startS3Landfall()
    media = await process(landfall, 'alice', await jpeg({ width: 1600, height: 900 }))
  })
  afterAll(() => landfall?.close())

  it('leave no reply of the bucket open', async () => {
    landfall.proxy.reset()
    // Slow enough for every reply to be under way for minutes, unless somebody hangs up.
    const isRead = ({ operation }: S3Call) => operation === 'GetObject'
    const slow = landfall.proxy.fail({ what: 'slow', bytesPerSecond: 1000, when: isRead })
    await leaveOften(landfall, media)
    expect(slow.hits).toBeGreaterThan(0)
    const open = () => landfall.proxy.calls.filter((call) => isRead(call) && call.endedAt === undefined)
    await vi.waitFor(() => expect(open()).toEqual([]), { timeout: 5_000 })
    slow.stop()
  })
})

/** Asks for the content two hundred times, and hangs up at once. */
async function leaveOften({ url }: Landfall, { contentUrl }: MediaJson): Promise<void> {
  const { hostname, port } = new URL(url)
  for (let i = 0; i < 200; i++) {
    const socket = connect(Number(port), hostname)
    await once(socket, 'connect')
    socket.write(`GET ${contentUrl} HTTP/1.1\r\nHost: ${hostname}\r\nRange: bytes=0-\r\n\r\n`)
    setImmediate(() => socket.destroy())
    await once(socket, 'close')
  }
}

async function openObjects(directory: string): Promise<string[]> {
  const fds = await readdir(FDS)
  const targets = await Promise.all(fds.map((fd) => readlink(`${FDS}/${fd}`).catch(() => '')))
  return targets.filter((target) => target.startsWith(directory))
}
