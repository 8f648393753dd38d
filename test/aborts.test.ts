import type { PgBoss } from 'pg-boss'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { openQueues } from '../jobs/queues.ts'
import { reap } from '../jobs/upkeep/reaper.ts'
import { startVictim } from './kill/storage.ts'
import { requires } from './services/requirements.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { raceAfter, slowly } from './support/pauses.ts'
import { QUIET } from './support/quiet.ts'
import { Random } from './support/random.ts'
import { patterned, sha256Of, videoOfSize } from './support/s3-landfall.ts'
import { asMp4 } from './support/sample-bytes.ts'
import { beginPatch, type SlowPatch } from './support/slow-patch.ts'
import { NOTHING_USED, quotaOf, statusOf, untilReceived } from './support/status.ts'
import { describeStorages } from './support/storages.ts'
import { leftIn, renditionsOfNarrowVideo } from './support/stored.ts'
import { createId, head, patch, terminate } from './support/tus.ts'
import { outcome } from './support/uploads.ts'

const ffmpeg = requires('ffmpeg')
const clamd = requires('clamd')
const MIB = 1024 * 1024
/** The smallest that a bucket takes: the first PATCH of a test makes it the size of all. */
const PART = 5 * MIB
const SIZE = 2 * PART + MIB
/** In the middle of the second part. */
const CUT = PART + 2.5 * MIB
/** Of a client that sends for longer than a request may take to let go. */
const PIECE = 64 * 1024
const PAUSE_MS = 40
const GONE_MS = 20_000
const SEED = Number(process.env.LANDFALL_ABORTS_SEED ?? Math.floor(Math.random() * 2 ** 31))

describeStorages.skipIf(!ffmpeg.met || !clamd.met)(
  `requests that end in the middle (LANDFALL_ABORTS_SEED=${SEED})`,
  (storage) => {
    let landfall: Landfall
    let boss: PgBoss
    let file: Buffer

    beforeAll(async () => {
      file = await videoOfSize(SIZE, `aborts ${SEED}`)
      landfall = await startLandfall({ storage, env: { SCAN: 'off', UPLOAD_MAX_OPEN: '100' } })
      boss = await openQueues({ db: landfall.db, supervise: false, onError: () => {} })
    })
    afterAll(async () => {
      await boss?.stop({ close: false, graceful: false })
      await landfall?.close()
    })

    const random = new Random(SEED)
    /** Media that are there until the last test deletes them. */
    const ready: string[] = []
    const newUpload = () => createId(landfall, 'alice', { size: SIZE, metadata: { filename: 'a.mp4' } })
    /** What is stored of these uploads and media; their keys hold their ids. */
    const leftOf = async (...ids: string[]) =>
      (await leftIn(landfall.stored)).filter((key) => ids.some((id) => key.includes(id)))
    const untilNothingLeft = async (...ids: string[]) => {
      await expect.poll(() => leftOf(...ids), { timeout: GONE_MS }).toEqual([])
    }
    const reapNow = () =>
      reap({ db: landfall.db, boss, retentionMs: 0, notifyListeners: () => {}, log: QUIET })

    /** An upload with its first part, and a PATCH of the rest of which some has arrived. */
    async function halfSent(): Promise<{ id: string; running: SlowPatch }> {
      const id = await newUpload()
      const first = await patch(landfall, 'alice', id, { offset: 0, body: file.subarray(0, PART) })
      expect(first.status).toBe(204)
      const running = await beginPatch(landfall, 'alice', id, { offset: PART, bytes: SIZE - PART })
      await running.send(file.subarray(PART, CUT))
      await untilReceived(landfall, 'alice', id, CUT)
      return { id, running }
    }

    async function offsetOf(id: string): Promise<number> {
      const answer = await head(landfall, 'alice', id)
      expect(answer.status).toBe(200)
      return Number(answer.headers.get('Upload-Offset'))
    }

    /** Sends what is missing; the file is ready, as it was sent, and nothing but it and its renditions is stored. */
    async function expectResumable(id: string, offset: number): Promise<void> {
      const rest = await patch(landfall, 'alice', id, { offset, body: file.subarray(offset) })
      expect(rest.status).toBe(204)
      const media = await outcome(landfall, 'alice', id)
      expect(media).toMatchObject({ status: 'ready', size: SIZE, sha256: sha256Of(file) })
      expect((await landfall.stored.bytes(`uploads/${id}`)).equals(file)).toBe(true)
      await expect
        .poll(() => leftOf(id, media.id), { timeout: GONE_MS })
        .toEqual([...renditionsOfNarrowVideo(media.id), `uploads/${id}`])
      ready.push(media.id)
    }

    const ends: [how: string, end: (running: SlowPatch) => void][] = [
      ['resets its connection', (running) => running.reset()],
      ['says that no more will come', (running) => running.finish()],
    ]

    it.each(ends)(
      'a client that %s in the middle goes on where the server had read to',
      async (_how, end) => {
        const { id, running } = await halfSent()
        end(running)
        const offset = await offsetOf(id)
        // The server had read all of it, so all of it is kept.
        expect(offset).toBe(CUT)
        await expectResumable(id, offset)
      },
    )

    it.each(ends)('a client that %s in the middle can end its upload instead', async (_how, end) => {
      const { id, running } = await halfSent()
      end(running)
      expect((await terminate(landfall, 'alice', id)).status).toBe(204)
      await untilNothingLeft(id)
    })

    it.each(ends)('a client that %s in full flight loses nothing that it saw arrive', async (_how, end) => {
      const id = await newUpload()
      const running = await beginPatch(landfall, 'alice', id, { offset: 0, bytes: SIZE })
      const sending = running.send(file.subarray(0, SIZE - 1)).catch(() => {})
      await untilReceived(landfall, 'alice', id, random.integer(1, MIB))
      const { offset: seen } = await statusOf(landfall, 'alice', id)
      end(running)
      await sending
      const offset = await offsetOf(id)
      expect(offset).toBeGreaterThanOrEqual(seen)
      await expectResumable(id, offset)
    })

    it('a PATCH whose upload another request takes over keeps what had arrived', async () => {
      const { id, running } = await halfSent()
      const offset = await offsetOf(id)
      expect(offset).toBe(CUT)
      // It was told, although it had not sent everything.
      expect(await running.answered).toBe(204)
      await expectResumable(id, offset)
    })

    it('a PATCH that goes on sending while another takes over adds nothing to what that one sends', async () => {
      const { id, running } = await halfSent()
      const goOn = async () => {
        for (let at = CUT; at < SIZE; at += PIECE) {
          await running.send(file.subarray(at, at + PIECE))
          await slowly(PAUSE_MS)
        }
      }
      const sending = goOn().catch(() => {})
      const offset = await offsetOf(id)
      expect(offset).toBeGreaterThanOrEqual(CUT)
      expect(offset).toBeLessThan(SIZE)
      await expectResumable(id, offset)
      await sending
      running.reset()
    })

    it('a node that stops in the middle of a PATCH has kept what had arrived', async () => {
      const stopping = await startLandfall({ beside: landfall, withoutWorker: true })
      const id = await newUpload()
      await patch(stopping, 'alice', id, { offset: 0, body: file.subarray(0, PART) })
      const running = await beginPatch(stopping, 'alice', id, { offset: PART, bytes: SIZE - PART })
      await running.send(file.subarray(PART, CUT))
      await untilReceived(stopping, 'alice', id, CUT)
      await stopping.close()
      expect(await running.answered).toBe(204)
      const offset = await offsetOf(id)
      expect(offset).toBe(CUT)
      await expectResumable(id, offset)
    })

    it('a server that is told to stop in the middle of a PATCH has kept what had arrived', async () => {
      const { server, stored, stop } = await startVictim(storage)
      try {
        const id = await createId(server, 'alice', { size: SIZE, metadata: { filename: 'a.mp4' } })
        await patch(server, 'alice', id, { offset: 0, body: file.subarray(0, PART) })
        const running = await beginPatch(server, 'alice', id, { offset: PART, bytes: SIZE - PART })
        await running.send(file.subarray(PART, CUT))
        await untilReceived(server, 'alice', id, CUT)
        expect(await server.kill('SIGTERM')).toEqual({ code: 0, signal: null })
        expect(await running.answered).toBe(204)

        await server.restart()
        const found = await head(server, 'alice', id)
        expect([found.status, found.headers.get('Upload-Offset')]).toEqual([200, String(CUT)])
        await patch(server, 'alice', id, { offset: CUT, body: file.subarray(CUT) })
        const media = await outcome(server, 'alice', id)
        expect(media).toMatchObject({ status: 'ready', sha256: sha256Of(file) })
        await expect
          .poll(() => leftIn(stored), { timeout: GONE_MS })
          .toEqual([...renditionsOfNarrowVideo(media.id), `uploads/${id}`])
      } finally {
        await stop()
      }
    })

    const states: [what: string, chunks: number[], inBucket: { objects: number; multiparts: number }][] = [
      ['nothing', [], { objects: 0, multiparts: 0 }],
      ['only a tail', [MIB], { objects: 1, multiparts: 0 }],
      ['two tails', [MIB, MIB], { objects: 2, multiparts: 0 }],
      ['one part', [PART], { objects: 0, multiparts: 1 }],
      ['a part and a tail', [PART, MIB], { objects: 1, multiparts: 1 }],
      ['two parts', [PART, PART], { objects: 0, multiparts: 1 }],
    ]

    it.each(states)('ended when it has %s, an upload leaves nothing', async (_what, chunks, inBucket) => {
      const id = await newUpload()
      let offset = 0
      for (const chunk of chunks) {
        await patch(landfall, 'alice', id, { offset, body: file.subarray(offset, offset + chunk) })
        offset += chunk
      }
      expect(await offsetOf(id)).toBe(offset)
      const isOf = (key: string) => key.includes(id)
      const found = {
        objects: (await landfall.stored.keys()).filter(isOf).length,
        multiparts: (await landfall.stored.openMultiparts()).filter(isOf).length,
      }
      expect(found).toEqual(storage === 's3' ? inBucket : { objects: Math.min(1, offset), multiparts: 0 })
      expect((await terminate(landfall, 'alice', id)).status).toBe(204)
      await untilNothingLeft(id)
    })

    it('ended when it is complete, an upload leaves nothing once its media is purged', async () => {
      const id = await newUpload()
      await patch(landfall, 'alice', id, { offset: 0, body: file.subarray(0, PART) })
      await patch(landfall, 'alice', id, { offset: PART, body: file.subarray(PART) })
      const { mediaId } = await statusOf(landfall, 'alice', id)
      expect((await terminate(landfall, 'alice', id)).status).toBe(204)
      const reapedAndLeft = async () => {
        // A media whose row the worker has locked at this moment is left for the next time.
        await reapNow()
        return await leftOf(id, mediaId ?? '')
      }
      await expect.poll(reapedAndLeft, { timeout: GONE_MS, interval: 250 }).toEqual([])
    })

    it('ended at any moment of a PATCH, uploads leave nothing', async () => {
      const race = async () => {
        const id = await newUpload()
        // More than a part and less than the file: neither side can win by finishing.
        const bytes = PART + random.integer(1, PART)
        const running = patch(landfall, 'alice', id, { offset: 0, body: asMp4(patterned(bytes, id)) })
        await raceAfter(random.integer(0, 150))
        const ended = await terminate(landfall, 'alice', id)
        expect(ended.status).toBe(204)
        expect([204, 409, 410, 423]).toContain((await running).status)
        expect(await statusOf(landfall, 'alice', id)).toMatchObject({ state: 'terminated' })
        return id
      }
      await untilNothingLeft(...(await rounds(race)))
    })

    it('expired at any moment of a PATCH, uploads leave nothing', async () => {
      const race = async () => {
        const id = await newUpload()
        const running = await beginPatch(landfall, 'alice', id, { offset: 0, bytes: SIZE })
        const sending = running.send(file.subarray(0, random.integer(1, SIZE - 1))).catch(() => {})
        await raceAfter(random.integer(0, 150))
        await landfall.db
          .updateTable('landfall.uploads')
          .set({ expires_at: new Date(Date.now() - 1000) })
          .where('id', '=', id)
          .execute()
        await reapNow()
        running.reset()
        await sending
        return id
      }
      const ids = await rounds(race)
      await expect
        .poll(
          async () => {
            await reapNow()
            return await landfall.db
              .selectFrom('landfall.uploads')
              .select('state')
              .distinct()
              .where('id', 'in', ids)
              .execute()
          },
          { timeout: GONE_MS },
        )
        .toEqual([{ state: 'expired' }])
      await untilNothingLeft(...ids)
    })

    it('and when the media have gone as well, nothing is stored or counted of any of them', async () => {
      for (const id of ready) await landfall.as('alice')(`/api/v1/media/${id}`, { method: 'DELETE' })
      await reapNow()
      await expect.poll(() => leftIn(landfall.stored), { timeout: GONE_MS }).toEqual([])
      expect(await quotaOf(landfall, 'alice')).toEqual(NOTHING_USED)
    })
  },
)

/** Races beside each other, and again; gives what they gave. */
async function rounds<T>(race: () => Promise<T>): Promise<T[]> {
  const all: T[] = []
  for (let round = 0; round < 4; round++) all.push(...(await Promise.all([race(), race(), race(), race()])))
  return all
}
