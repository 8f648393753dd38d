import { once } from 'node:events'
import { readdir, readlink } from 'node:fs/promises'
import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { jpeg } from './fixtures/media.ts'
import { requires } from './services/requirements.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { type MediaJson, process } from './support/uploads.ts'

const clamd = requires('clamd')
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
      const { hostname, port } = new URL(landfall.url)
      for (let i = 0; i < 200; i++) {
        const socket = connect(Number(port), hostname)
        await once(socket, 'connect')
        socket.write(`GET ${media.contentUrl} HTTP/1.1\r\nHost: ${hostname}\r\nRange: bytes=0-\r\n\r\n`)
        setImmediate(() => socket.destroy())
        await once(socket, 'close')
      }
      await vi.waitFor(async () => expect(await openObjects(landfall.dataDirectory)).toEqual([]), {
        timeout: 5_000,
      })
    })
  },
)

async function openObjects(directory: string): Promise<string[]> {
  const fds = await readdir(FDS)
  const targets = await Promise.all(fds.map((fd) => readlink(`${FDS}/${fd}`).catch(() => '')))
  return targets.filter((target) => target.startsWith(directory))
}
