import { randomUUID } from 'node:crypto'
import { sql } from 'kysely'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createUpload } from '../../ledger/creation.ts'
import type { Ledger } from '../../ledger/database.ts'
import { TurnRefused } from '../../ledger/turns.ts'
import { freshDatabase } from '../../test/support/landfall.ts'
import { newUpload, openLedger, SIZE, UNLIMITED } from '../../test/support/ledger.ts'
import { DiskSpace, NO_ROOM } from './disk-space.ts'

const GIB = 1024 ** 3
/** Of a file system of 8 GiB. */
const HEADROOM = (8 * GIB) / 100
const ROOM = 1000 * SIZE

/** Something that is decided when the test says so. */
function undecided() {
  const begun = Promise.withResolvers<void>()
  const decision = Promise.withResolvers<{ kind: 'created' | 'quota-bytes' }>()
  return { begun, decision }
}

describe('the room on a disk', () => {
  let db: Ledger
  let space: DiskSpace
  let looks = 0
  let files = 0
  let open: (more?: { lineMs: number }) => DiskSpace
  beforeEach(async () => {
    db = openLedger(await freshDatabase())
    looks = 0
    files = 0
    const figures = async (maxAgeMs?: number) => {
      if (maxAgeMs === 0) looks++
      const bytes = { freeBytes: HEADROOM + ROOM, totalBytes: 8 * GIB }
      return { ...bytes, freeFiles: null, totalFiles: null }
    }
    const sizeInTheMaking = async () => {
      files++
      return 0
    }
    const objects = { sizeInTheMaking }
    open = (more) => new DiskSpace({ db, fileSystem: { figures }, objects, scratch: '/nowhere', ...more })
    space = open()
  })
  afterEach(async () => {
    await db?.destroy()
  })

  const isRefused = ({ kind }: { kind: string }) => kind !== 'created'
  const enter = (bytes: number, by = undecided()) =>
    space.enter(
      async (claim) => {
        if (!claim(bytes)) return NO_ROOM
        by.begun.resolve()
        return await by.decision.promise
      },
      { isRefused },
    )
  const at = async (bytes: number) => {
    const by = undecided()
    by.decision.resolve({ kind: 'created' })
    return (await enter(bytes, by)).kind
  }

  it('is not refused because of somebody who is refused', async () => {
    const overQuota = undecided()
    const refused = enter(ROOM, overQuota)
    await overQuota.begun.promise
    const other = at(ROOM)
    // Not before it is clear what becomes of the first.
    await expect.poll(() => looks).toBeGreaterThanOrEqual(3)
    overQuota.decision.resolve({ kind: 'quota-bytes' })
    expect(await other).toBe('created')
    expect((await refused).kind).toBe('quota-bytes')
  })

  it('is found without a look at the files that grow, unless it is scarce', async () => {
    const growing = async (size: number) => {
      const upload = newUpload('alice', { size })
      await createUpload(db, upload, UNLIMITED)
      await db
        .insertInto('landfall.upload_locks')
        .values({
          upload_id: upload.id,
          holder: 'a node',
          fence: randomUUID(),
          expires_at: sql`now() + interval '1 minute'`,
        })
        .execute()
    }
    await growing(32 * SIZE)
    expect(await open().room()).toMatchObject({ reservedBytes: 32 * SIZE })
    expect(files).toBe(0)
    await growing(125 * SIZE)
    await open().room()
    expect(files).toBe(2)
  })

  it('is refused because of somebody who is let in', async () => {
    const first = undecided()
    const created = enter(ROOM - SIZE, first)
    await first.begun.promise
    const others = [at(2 * SIZE), at(SIZE)]
    // The ledger has it, as when it is created.
    await createUpload(db, newUpload('alice', { size: ROOM - SIZE }), UNLIMITED)
    first.decision.resolve({ kind: 'created' })
    expect((await created).kind).toBe('created')
    expect(await Promise.all(others)).toEqual(['no-room', 'created'])
  })

  it('is not asked for before the quota where it is scarce', async () => {
    const overQuota = { kind: 'quota-bytes' } as const
    const entered: number[] = []
    const attempt = (bytes: number, refusal: () => Promise<{ kind: string } | undefined>) =>
      space.enter<{ kind: string }>(
        async (claim) => {
          if (!claim(bytes)) return NO_ROOM
          entered.push(bytes)
          return { kind: 'created' }
        },
        { isRefused, refusal },
      )
    for (const bytes of [ROOM / 2, ROOM, 2 * ROOM])
      expect(await attempt(bytes, async () => overQuota)).toBe(overQuota)
    expect(entered).toEqual([])
    expect(await attempt(ROOM, async () => undefined)).toEqual({ kind: 'created' })
    expect(await attempt(2 * ROOM, async () => undefined)).toBe(NO_ROOM)
  })

  it('is waited for no longer than some seconds where it stays unclear what becomes of another', async () => {
    space = open({ lineMs: 300 })
    const stuck = undecided()
    const first = enter(ROOM, stuck)
    await stuck.begun.promise
    const others = [at(SIZE), at(SIZE)].map((one) => one.catch((error: unknown) => error))
    for (const one of others) expect(await one).toBeInstanceOf(TurnRefused)
    stuck.decision.resolve({ kind: 'quota-bytes' })
    await first
    expect(await at(ROOM)).toBe('created')
  })

  it('for a scratch folder is half of what is free, with the headroom and whatever uploads have declared', async () => {
    const made: number[] = []
    const enterScratch = async (bytes: number) =>
      await space.enterScratch(bytes, async () => void made.push(bytes))
    await createUpload(db, newUpload('alice', { size: ROOM }), UNLIMITED)
    const half = Math.floor((HEADROOM * (7 / 8) + ROOM) / 2)
    expect(await enterScratch(half + 1)).toBe('no-room')
    expect(await enterScratch(8 * GIB)).toBe('never')
    expect(made).toEqual([])
    expect(await enterScratch(half)).toBe('made')
    expect(made).toEqual([half])
  })

  it('costs no look of its own where there is plenty of it', async () => {
    await space.room()
    const before = looks
    for (let index = 0; index < 20; index++) expect(await at(SIZE)).toBe('created')
    expect(looks).toBe(before)
  })
})
