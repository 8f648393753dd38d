import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest'
import type { Lease } from '../../ledger/lease-keeper.ts'
import type { UploadRow } from '../../ledger/uploads.ts'
import { LeaseLost } from '../store/outcomes.ts'
import type { Append } from '../store/upload-store.ts'
import { DiskUploadStore } from './disk-upload-store.ts'

const MIB = 1024 * 1024
const SIZE = 64 * MIB

let directory: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'landfall-store-'))
})
afterAll(() => rm(directory, { recursive: true, force: true }))
afterEach(() => void vi.restoreAllMocks())

/** A request for a file of 64 MiB whose chunks arrive 100 ms apart, as its clock says; at this byte they wait. */
function request(
  key: string,
  more: Partial<Append>,
  held: { at: number; until: Promise<unknown> } | undefined = undefined,
) {
  const store = new DiskUploadStore({
    objects: { pathOf: (name) => join(directory, name), sizeOf: async () => undefined },
    space: { hasAny: async () => true },
    sync: 'always',
  })
  const upload = { storage_key: key, offset: 0, size: SIZE } as UploadRow
  const committed: number[] = []
  const append: Append = {
    upload,
    lease: { isCurrent: () => true } as Lease,
    offset: 0,
    bodyLength: SIZE,
    isAtomic: false,
    endsAt: (to) => to === SIZE,
    received() {},
    inOwnerTurn: (work) => work(),
    async checkpoint() {},
    async commit(to) {
      committed.push(to)
    },
    rejectContent: (error) => Promise.reject(error),
    rejectAsLost: () => Promise.reject(new Error('lost')),
    ...more,
  }
  let arrived = 0
  async function* source(): AsyncGenerator<Uint8Array> {
    const startedAt = performance.now()
    vi.spyOn(performance, 'now').mockImplementation(() => startedAt + (arrived / MIB) * 100)
    while (arrived < SIZE) {
      arrived += MIB
      yield Buffer.alloc(MIB, 1)
      await new Promise(setImmediate)
      if (arrived === held?.at) await held.until
    }
  }
  return { run: () => store.append(source(), append), committed, upload, arrived: () => arrived }
}

it('goes on receiving while the ledger is told of a checkpoint, and commits behind that', async () => {
  const told = Promise.withResolvers<void>()
  const checkpoints: number[] = []
  const { run, committed, upload, arrived } = request('slow-ledger', {
    async checkpoint(to) {
      checkpoints.push(to)
      expect((await stat(join(directory, 'slow-ledger'))).size).toBeGreaterThanOrEqual(to)
      await told.promise
      upload.offset = to
    },
  })
  const done = run()
  await vi.waitFor(() => expect(arrived()).toBe(SIZE), { timeout: 10_000 })
  expect(checkpoints).toHaveLength(1)
  expect(committed).toEqual([])
  told.resolve()
  expect(await done).toBe(SIZE)
  expect(committed).toEqual([SIZE])
})

it('ends with a checkpoint that has failed', async () => {
  const called = Promise.withResolvers<void>()
  const checkpoint = async () => {
    called.resolve()
    throw new LeaseLost()
  }
  // A disk may take longer to force the bytes to it than all of them take to arrive.
  const { run, arrived } = request('lost-lease', { checkpoint }, { at: SIZE / 2, until: called.promise })
  await expect(run()).rejects.toThrow(LeaseLost)
  expect(arrived()).toBeLessThan(SIZE)
})
