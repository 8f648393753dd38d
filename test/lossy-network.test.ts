import { randomInt } from 'node:crypto'
import { join } from 'node:path'
import { execa } from 'execa'
import { expect, it } from 'vitest'
import type { Account } from './lossy/inside.ts'
import { startResettingProxy } from './lossy/resetting-proxy.ts'
import { BYTES, sendOne, severally, sha256Of } from './lossy/uploads.ts'
import { inLossyNetwork } from './services/lossy-network.ts'
import { requires } from './services/requirements.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { statusOf } from './support/status.ts'
import { describeStorages } from './support/storages.ts'

/** In each network, and on each storage where that matters. */
const UPLOADS = Number(process.env.LANDFALL_LOSSY_UPLOADS || 12)
const AT_ONCE = 6
const lossy = requires('lossy-network')
/** Which connections are reset; when uploads come to them is up to the machine. */
const SEED = Number(process.env.LANDFALL_LOSSY_SEED || randomInt(1, 2 ** 31))
const RESET_EVERY_MS = 1000
const BYTES_PER_SECOND = 6_000_000
const PORT = 1080
const LOSS_PERCENT = 2
/** Of one upload, for a busy machine. */
const UPLOAD_MS = 20_000
const TIMEOUT_MS = 60_000 + UPLOADS * UPLOAD_MS

const INSIDE = join(import.meta.dirname, 'lossy', 'inside.ts')

it.skipIf(!lossy.met)(
  `where ${LOSS_PERCENT} % of the packets are lost, ${UPLOADS} of ${UPLOADS} uploads arrive as they were sent`,
  async () => {
    const [program, ...options] = inLossyNetwork({ port: PORT, percent: LOSS_PERCENT })
    const run = [process.execPath, INSIDE, String(PORT), String(UPLOADS), String(AT_ONCE)]
    const { stdout } = await execa(program, [...options, ...run], {
      timeout: TIMEOUT_MS,
      // The server is its child, and ends with it.
      killSignal: 'SIGTERM',
    })
    const account = JSON.parse(stdout) as Account
    console.log(`packets lost: ${JSON.stringify(account)}`)
    expect(account).toMatchObject({ uploads: UPLOADS, identical: UPLOADS })
    // A segment has 1460 bytes: twenty megabytes are 14,000 packets, of which 280 are lost.
    expect(account.packetsLost).toBeGreaterThan(UPLOADS * 100)
  },
  TIMEOUT_MS,
)

describeStorages('where a connection is reset every second', (storage) => {
  it(
    `${UPLOADS} of ${UPLOADS} uploads arrive as they were sent`,
    async () => {
      const landfall = await startLandfall({
        storage,
        withoutWorker: true,
        env: { UPLOAD_MAX_OPEN: '1000' },
      })
      const proxy = await startResettingProxy(landfall.url, {
        seed: SEED,
        everyMs: RESET_EVERY_MS,
        bytesPerSecond: BYTES_PER_SECOND,
      })
      try {
        const startedAt = performance.now()
        const sent = await severally(UPLOADS, AT_ONCE, async (number) => {
          const outcome = await sendOne(proxy.url, landfall.token('alice'), number)
          await expectStored(landfall, outcome)
          return outcome
        })
        const seconds = Math.round((performance.now() - startedAt) / 1000)
        const resumptions = sent.reduce((sum, one) => sum + one.resumptions, 0)
        console.log(
          `${storage}: LANDFALL_LOSSY_SEED=${SEED}: ${sent.length} uploads, ${proxy.resets} resets, ${resumptions} resumptions, ${seconds} s`,
        )
        expect(sent).toHaveLength(UPLOADS)
        expect(proxy.resets).toBeGreaterThan(UPLOADS / AT_ONCE)
        expect(resumptions).toBeGreaterThan(0)
      } finally {
        await proxy.close()
        await landfall.close()
      }
    },
    TIMEOUT_MS,
  )
})

async function expectStored(
  landfall: Landfall,
  { uploadId, sha256 }: { uploadId: string; sha256: string },
): Promise<void> {
  expect(await statusOf(landfall, 'alice', uploadId)).toMatchObject({ state: 'received', size: BYTES })
  const key = `uploads/${uploadId}`
  expect(sha256Of(await landfall.stored.bytes(key))).toBe(sha256)
  // A hundred of them would fill a small disk.
  await landfall.stored.lose(key)
}
