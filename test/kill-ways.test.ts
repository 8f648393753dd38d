import { randomInt } from 'node:crypto'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openQueues } from '../jobs/queues.ts'
import { reap } from '../jobs/upkeep/reaper.ts'
import type { Ledger } from '../ledger/database.ts'
import type { Fixture } from './fixtures/media.ts'
import { drawRound, loadMedia, type PlannedUpload } from './kill/plan.ts'
import { startVictim, type Victim } from './kill/storage.ts'
import { WAYS } from './kill/ways.ts'
import { requires } from './services/requirements.ts'
import { asOwnerId } from './support/ids.ts'
import { raceAfter } from './support/pauses.ts'
import { QUIET } from './support/quiet.ts'
import { countedUsage } from './support/quota.ts'
import { Random } from './support/random.ts'
import type { ServerProcess } from './support/server-process.ts'
import { outcome } from './support/uploads.ts'

const STORAGE = process.env.LANDFALL_KILL_STORAGE || ''
const ROUNDS = Number(process.env.LANDFALL_KILL_ROUNDS || 2)
const SEED = Number(process.env.LANDFALL_KILL_SEED || randomInt(1, 2 ** 31))
const ROUND_MS = 120_000
const KILLS = 3
/** After a start, in which each kill comes. */
const LONGEST_LIFE_MS = 900

const ceph = requires('ceph')
const ffmpeg = requires('ffmpeg')
const clamd = requires('clamd')

// On a disk there are only forms beside resumable uploads: test/kill.test.ts has both.
describe.skipIf(!ceph.met || !ffmpeg.met || !clamd.met)(
  'a server that is killed under forms and direct uploads',
  () => {
    let victim: Victim
    let media: Fixture[]
    beforeAll(async () => {
      media = await loadMedia()
      victim = await startVictim('s3')
    })
    afterAll(() => victim?.stop())

    it.skipIf(STORAGE === 'disk')(
      `loses none, has none twice, and leaves nothing of others, in ${ROUNDS} rounds`,
      async () => {
        console.log(`s3: LANDFALL_KILL_SEED=${SEED}`)
        const counts: Record<string, number> = {}
        const ready = new Map<string, number>()
        for (let number = 1; number <= ROUNDS; number++) {
          const random = new Random(SEED + number)
          const { uploads } = await drawRound('s3', random, number, media)
          await playRound(victim.server, random, uploads, counts, ready).catch((error: unknown) => {
            const log = victim.server.run().stderr().slice(-4000)
            throw new Error(`round ${number} of seed ${SEED}: ${error}\n${log}`, { cause: error })
          })
          await expectNothingElse(victim, ready)
        }
        console.log(JSON.stringify(counts))
      },
      ROUNDS * ROUND_MS,
    )
  },
)

async function playRound(
  server: ServerProcess,
  random: Random,
  uploads: readonly PlannedUpload[],
  counts: Record<string, number>,
  ready: Map<string, number>,
): Promise<void> {
  const count = (what: string) => {
    counts[what] = (counts[what] ?? 0) + 1
  }
  let revival = Promise.resolve()
  const killing = (async () => {
    for (let kill = 0; kill < KILLS; kill++) {
      await raceAfter(random.integer(1, LONGEST_LIFE_MS))
      process.kill(server.run().pid, 'SIGKILL')
      count('killed')
      revival = server.run().exited.then(() => server.restart())
      await revival
    }
  })()
  const sending = uploads.map(async (upload) => {
    const [name, send] = random.pick(Object.entries(WAYS))
    const uploadId = await send(upload, {
      server,
      available: () => revival,
      onFailure: () => count(`${name} again`),
    })
    count(name)
    return { upload, uploadId }
  })
  const sent = await Promise.all(sending)
  await killing
  for (const { upload, uploadId } of sent) {
    const { owner, name, bytes, sha256 } = upload
    const found = await outcome(server, owner, uploadId)
    expect(found, name).toMatchObject({
      uploadId,
      filename: name,
      status: 'ready',
      size: bytes.length,
      sha256,
    })
    ready.set(uploadId, bytes.length)
  }
}

/** After all rounds so far, once what nobody will finish has expired. */
async function expectNothingElse(
  { server, stored }: Victim,
  ready: ReadonlyMap<string, number>,
): Promise<void> {
  const db = await server.openLedger()
  try {
    await expireOpen(db)
    const media = await db.selectFrom('landfall.media').select(['upload_id', 'size', 'owner_id']).execute()
    expect(new Map(media.map(({ upload_id, size }) => [String(upload_id), size]))).toEqual(new Map(ready))
    const owners = [...new Set(media.map(({ owner_id }) => String(owner_id)))]
    for (const usage of await countedUsage(db, owners)) {
      const own = media.filter(({ owner_id }) => owner_id === asOwnerId(usage.owner_id))
      expect(usage).toMatchObject({
        reserved_bytes: 0,
        open_uploads: 0,
        used_bytes: own.reduce((sum, { size }) => sum + size, 0),
        finished_uploads: own.length,
      })
    }
    const renditions = await db.selectFrom('landfall.renditions').select(['storage_key', 'size']).execute()
    const files = await db.selectFrom('landfall.uploads').select(['id', 'storage_key']).execute()
    const keyOf = new Map(files.map(({ id, storage_key }) => [String(id), storage_key]))
    const expected = new Map([
      ...[...ready].map(([id, size]): [string, number] => [String(keyOf.get(id)), size]),
      ...renditions.map(({ storage_key, size }): [string, number] => [storage_key, size]),
    ])
    const sizes = async () =>
      Object.fromEntries([...(await stored.sizes())].filter(([key]) => !/^renditions\/.*\.tmp$/.test(key)))
    // What a probe of links has left is removed after a minute.
    await expect.poll(sizes, { timeout: 150_000 }).toEqual(Object.fromEntries(expected))
    await expect.poll(() => stored.openMultiparts(), { timeout: 30_000 }).toEqual([])
  } finally {
    await db.destroy()
  }
}

/** What a client has given up expires at once. */
async function expireOpen(db: Ledger): Promise<void> {
  await sql`update landfall.uploads set expires_at = now() - interval '1 second', reap_after = now() - interval '1 second'
             where state = 'open'`.execute(db)
  const boss = await openQueues({ db, supervise: false, onError: () => {} })
  try {
    await reap({ db, boss, retentionMs: 3600_000, notifyListeners: () => {}, log: QUIET })
  } finally {
    await boss.stop({ graceful: false })
  }
}
