import { randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openDatabase } from '../ledger/database.ts'
import { freePort } from '../server/embedded/free-port.ts'
import { createLog } from '../server/process/log.ts'
import { Releasers } from '../server/process/releasers.ts'
import { requires } from './services/requirements.ts'
import { asOwnerId } from './support/ids.ts'
import { freshDatabase, tokenOf } from './support/landfall.ts'
import { outageOf } from './support/pauses.ts'
import { PROXIES, type ReverseProxy, startReverseProxy } from './support/proxies.ts'
import { asMp4 } from './support/sample-bytes.ts'
import { enterableDirectory, type Run, runServer, stopRun } from './support/server-process.ts'
import { type SlowLine, startSlowLine } from './support/slow-line.ts'
import { startTcpProxy, type TcpProxy } from './support/tcp-proxy.ts'
import { type TusJsUpload, tusJsUpload } from './support/tus-js-client.ts'

const proxies = { nginx: requires('nginx'), haproxy: requires('haproxy'), caddy: requires('caddy') }
const UPLOADS = 4
const BYTES = 64 * 1024 * 1024
/** Slow enough that uploads are under way while servers come and go. */
const BYTES_PER_SECOND = 6 * 1024 * 1024
const file = asMp4(randomBytes(BYTES))

/** Two server processes on one database, to which a network of the test's own leads, behind a real proxy. */
describe.each(PROXIES)('tus-js-client as it comes, behind %s', (name) => {
  const log = createLog({ level: 'error', name: 'test' })
  const releasers = new Releasers()
  const runs: Run[] = []
  let network: TcpProxy
  let proxy: ReverseProxy
  let slowLine: SlowLine
  let start: (index: number) => Promise<void>
  let db: ReturnType<typeof openDatabase>

  beforeAll(async () => {
    if (!proxies[name].met) return
    const parent = await enterableDirectory()
    releasers.add('directory', () => rm(parent, { recursive: true, force: true }))
    const dataDirectory = join(parent, 'data')
    const direct = await freshDatabase()
    network = await startTcpProxy(`http://${new URL(direct).host}`)
    releasers.add('network', () => network.close())
    const throughNetwork = Object.assign(new URL(direct), { host: new URL(network.url).host }).href
    const ports = [await freePort(), await freePort()]
    start = async (index) => {
      const run = runServer(dataDirectory, {
        env: {
          PORT: String(ports[index]),
          DATABASE_URL: throughNetwork,
          WORKER: 'off',
          SCAN: 'off',
          TRUST_PROXY: 'loopback',
          UPLOAD_MAX_OPEN: '1000',
          LOG_LEVEL: 'silent',
        },
      })
      runs[index] = run
      releasers.add('server', () => stopRun(run, dataDirectory))
      await run.address
    }
    for (const index of [0, 1]) await start(index)
    proxy = await startReverseProxy(
      name,
      ports.map((port) => `127.0.0.1:${port}`),
    )
    releasers.add('proxy', () => proxy.stop())
    slowLine = await startSlowLine(proxy.url, BYTES_PER_SECOND)
    releasers.add('slow line', () => slowLine.close())
    db = openDatabase({
      connectionString: direct,
      maxConnections: 2,
      applicationName: 'test',
      onPoolError() {},
    })
    releasers.add('database', () => db.destroy())
  }, 120_000)
  afterAll(() => releasers.releaseAll(log), 120_000)

  /** Uploads that are created and under way. */
  async function begin(owner: string): Promise<TusJsUpload[]> {
    const uploads = Array.from({ length: UPLOADS }, () =>
      tusJsUpload({ url: slowLine.url, token: tokenOf }, owner, file),
    )
    for (const { upload } of uploads) upload.start()
    await Promise.all(uploads.map(({ created }) => created))
    return uploads
  }

  /** Each upload of the owner has come on from where it is now. */
  async function untilProgress(owner: string): Promise<void> {
    const offsets = async () => {
      const rows = await db
        .selectFrom('landfall.uploads')
        .select(['id', 'offset'])
        .where('owner_id', '=', asOwnerId(owner))
        .execute()
      return new Map(rows.map(({ id, offset }) => [id, offset]))
    }
    const before = await offsets()
    const hasMoved = async () => {
      const now = await offsets()
      return [...before].every(([id, offset]) => offset === file.length || (now.get(id) ?? 0) > offset)
    }
    await expect.poll(hasMoved, { timeout: 30_000, interval: 200 }).toBe(true)
  }

  /** Each upload ends, was created once, and nothing else is left of its owner. */
  async function expectAllWhole(owner: string, uploads: readonly TusJsUpload[]): Promise<void> {
    const ids = await Promise.all(uploads.map(({ finished }) => finished))
    const creations = uploads.map(({ requests }) => requests.filter((line) => line.startsWith('POST')))
    expect(creations, JSON.stringify(uploads.map(({ requests }) => requests))).toEqual(
      uploads.map(() => ['POST → 201']),
    )
    const rows = await db
      .selectFrom('landfall.uploads')
      .select(['id', 'state', 'offset'])
      .where('owner_id', '=', asOwnerId(owner))
      .execute()
    expect(rows.map(({ id }) => id).sort()).toEqual([...ids].sort())
    expect(rows.every(({ state, offset }) => state === 'received' && offset === file.length)).toBe(true)
  }

  it.skipIf(!proxies[name].met)(
    'outlives 30 s without a database',
    async () => {
      const uploads = await begin('outage')
      network.cut()
      await outageOf(30_000)
      network.restore()
      await expectAllWhole('outage', uploads)
      expect(uploads.flatMap(({ requests }) => requests)).toContain('HEAD → 423')
    },
    180_000,
  )

  it.skipIf(!proxies[name].met)(
    'outlives the killing of one server after the other, and of both',
    async () => {
      const uploads = await begin('kills')
      const kill = (index: number) => {
        const { pid } = runs[index] ?? { pid: 0 }
        process.kill(pid, 'SIGKILL')
        return runs[index]?.exited
      }
      for (const indexes of [[0], [1], [0, 1]]) {
        // The client gives up after four tries without progress: as with any outage, there is some time between two.
        await untilProgress('kills')
        await Promise.all(indexes.map(kill))
        await Promise.all(indexes.map(start))
      }
      await expectAllWhole('kills', uploads)
    },
    180_000,
  )

  it.skipIf(!proxies[name].met)('keeps what is for those inside from those outside', async () => {
    const paths = ['/metrics', '/dev/token']
    const answers = await Promise.all(paths.map((path) => fetch(proxy.url + path)))
    expect(answers.map(({ status }) => status)).toEqual([404, 404])
  })
})
