import { randomInt } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { requires } from './services/requirements.ts'
import { countedUsage } from './support/quota.ts'
import { Random } from './support/random.ts'
import { describeStorages } from './support/storages.ts'
import { FROZEN } from './two-servers/frozen.ts'
import { type Pair, startPair } from './two-servers/nodes.ts'
import {
  deletedAtAnyMoment,
  deletedInMidBody,
  expired,
  resumingElsewhere,
  resumingInFullRun,
  switching,
} from './two-servers/running.ts'
import { playAll } from './two-servers/standstill.ts'
import { ALICE } from './two-servers/steps.ts'

/** Repeats what was drawn; what meets what is still up to the machine. */
const SEED = Number(process.env.LANDFALL_TWO_SERVERS_SEED || randomInt(1, 2 ** 31))

const ffmpeg = requires('ffmpeg')

describeStorages.skipIf(!ffmpeg.met)(`two servers (LANDFALL_TWO_SERVERS_SEED=${SEED})`, (storage) => {
  let pair: Pair
  const random = new Random(SEED)

  beforeAll(async () => {
    pair = await startPair(storage)
  })
  afterAll(() => pair?.close())

  describe('that both run', () => {
    it.concurrent('serve a client that switches between them on every request', () => switching(pair))
    it.concurrent('pass an upload on from a PATCH that hangs', () => resumingElsewhere(pair))
    it.concurrent('pass an upload on from a PATCH that runs', () => resumingInFullRun(pair))
    it.concurrent('keep nothing of an upload that is deleted while a PATCH hangs', () =>
      deletedInMidBody(pair))
    it.concurrent('keep nothing of uploads that are deleted while PATCHes run', () =>
      deletedAtAnyMoment(pair, random))
  })

  it('keep nothing of uploads that expire while PATCHes run', () => expired(pair, random))

  describe('of which one stands still for longer than its lease lives', () => {
    const cases = FROZEN.filter(({ storages }) => storages.includes(storage))
    let playing: Map<string, Promise<void>>

    beforeAll(() => {
      // Beside each other: mostly they wait.
      playing = playAll(pair.a, new Map(cases.map(({ name, play }) => [name, (still) => play(pair, still)])))
    })

    it.each(cases)('lose nothing and leave nothing $name', async ({ name }) => {
      await playing.get(name)
    })
  })

  it('have stored, in the end, what is ready and nothing else, and counted it', async () => {
    const { db, stored } = pair
    const media = await db
      .selectFrom('landfall.media')
      .select(['storage_key', 'size'])
      .where('status', '=', 'ready')
      .execute()
    const renditions = await db.selectFrom('landfall.renditions').select('storage_key').execute()
    const keys = [...media, ...renditions].map(({ storage_key }) => storage_key)
    expect(await stored.keys()).toEqual(keys.toSorted())
    expect(await stored.openMultiparts()).toEqual([])
    const tails = db.selectFrom('landfall.upload_tails').selectAll().where('dropped_at', 'is', null)
    expect(await tails.execute()).toEqual([])
    expect(await countedUsage(db, [ALICE])).toEqual([
      {
        owner_id: ALICE,
        reserved_bytes: 0,
        open_uploads: 0,
        open_partials: 0,
        used_bytes: media.reduce((sum, { size }) => sum + size, 0),
        finished_uploads: media.length,
      },
    ])
  })
})
