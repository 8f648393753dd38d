import { createHash, randomBytes } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { ContentRejected } from '../../content/verdict.ts'
import { createUpload } from '../../ledger/creation.ts'
import { finishUpload } from '../../ledger/finishing.ts'
import { newMediaId, type OwnerId } from '../../ledger/ids.ts'
import type { Lease } from '../../ledger/lease-keeper.ts'
import { appendAndRelease, appendBytes, findUpload, type UploadRow } from '../../ledger/uploads.ts'
import { parseConfig } from '../../server/config.ts'
import { storageOptionsOf } from '../../server/storage-options.ts'
import { type Landfall, startLandfall } from '../../test/support/landfall.ts'
import { leaseOf, newUpload, UNLIMITED } from '../../test/support/ledger.ts'
import { describeStorages } from '../../test/support/storages.ts'
import { openStorage, type Storage } from '../storage.ts'
import { UploadStores } from '../upload-stores.ts'
import { BytesLost } from './objects.ts'
import { BodyTooLong, LeaseLost } from './outcomes.ts'
import type { Append, UploadStore } from './upload-store.ts'

// What every store has to keep to, on a real disk and a real bucket, under a real ledger. A further one is added to
// `describeStorages`: see docs/storage.md.

const MIB = 1024 * 1024
const OWNER = 'alice' as OwnerId
const EXPIRY = { afterMs: 3600_000, maxAgeMs: 3600_000 }
const SIZE = 13 * MIB + 17

/** A request as the engine makes one, with what it was told. */
type Told = { append: Append; rejected: unknown[]; loseLease(): void }

describeStorages('an upload store', (kind) => {
  let landfall: Landfall
  let storage: Storage
  let stores: UploadStores
  let store: UploadStore
  let row: UploadRow

  beforeAll(async () => {
    landfall = await startLandfall({ storage: kind, withoutWorker: true })
    const env = { ...landfall.storageEnv, DATA_DIR: landfall.dataDirectory }
    const config = parseConfig(env, { auth: false })
    storage = await openStorage(storageOptionsOf(config), landfall.db)
    stores = new UploadStores(storage, {
      db: landfall.db,
      maxSize: 1024 * MIB,
      onError() {
        // A part that is lost on purpose.
      },
    })
  })
  afterAll(async () => {
    await stores?.close()
    storage?.close()
    await landfall?.close()
  })
  beforeEach(async () => {
    row = await open(SIZE)
    store = await stores.usableStoreOf(row)
  })

  async function open(size: number): Promise<UploadRow> {
    const created = await createUpload(
      landfall.db,
      newUpload(OWNER, { size, reservedBytes: size, storageBackend: kind }),
      UNLIMITED,
    )
    if (created.kind !== 'created') throw new Error(created.kind)
    return created.upload
  }

  /** A request that holds the upload now, and goes on where it is. */
  async function request(more: Partial<Append> = {}): Promise<Told> {
    const found = await findUpload(landfall.db, OWNER, row.id)
    if (!found) throw new Error('no upload')
    row = found
    const upload = found
    // Whoever had it has ended.
    await landfall.db.deleteFrom('landfall.upload_locks').where('upload_id', '=', row.id).execute()
    const fence = await leaseOf(landfall.db, OWNER, row.id)
    let isLost = false
    const lease = {
      fence,
      isCurrent: () => !isLost,
      validUntil: Number.POSITIVE_INFINITY,
    } as unknown as Lease
    const part = (to: number, storedParts?: Parameters<Append['commit']>[1]) => ({
      id: upload.id,
      ownerId: OWNER,
      fence,
      offset: upload.offset,
      to,
      ...(storedParts ? { storedParts } : {}),
    })
    const held = (result: { kind: string }, to: number) => {
      if (result.kind === 'lease-lost') throw new LeaseLost()
      upload.offset = to
    }
    const rejected: unknown[] = []
    const append: Append = {
      upload,
      lease,
      offset: await store.offsetOf(upload),
      bodyLength: undefined,
      isAtomic: false,
      endsAt: (to) => to === upload.size,
      received() {},
      inOwnerTurn: (work) => work(),
      async checkpoint(to, storedParts) {
        held(await appendBytes(landfall.db, part(to, storedParts), EXPIRY), to)
      },
      async commit(to, storedParts) {
        const isLast = to === upload.size
        const result = isLast
          ? await finishUpload(landfall.db, part(to, storedParts), newMediaId(), async () => {})
          : await appendAndRelease(landfall.db, part(to, storedParts), EXPIRY)
        held(result, to)
        if (isLast) upload.state = 'received'
      },
      async rejectContent(error) {
        rejected.push(error)
        throw error
      },
      async rejectAsLost() {
        rejected.push('lost')
        throw new Error('lost')
      },
      ...more,
    }
    return {
      append,
      rejected,
      loseLease() {
        isLost = true
      },
    }
  }

  /** In chunks of an odd size; fails with `failure` behind them. */
  async function* chunksOf(
    bytes: Buffer,
    failure?: unknown,
    chunkBytes = 64 * 1024 - 3,
  ): AsyncGenerator<Buffer> {
    // A store may free a chunk that it has stored, so each is one of its own.
    for (let at = 0; at < bytes.length; at += chunkBytes)
      yield Buffer.from(bytes.subarray(at, at + chunkBytes))
    if (failure !== undefined) throw failure
  }

  const send = async (bytes: Buffer, failure?: unknown, more: Partial<Append> = {}) => {
    const told = await request(more)
    return await store.append(chunksOf(bytes, failure), told.append)
  }
  const reached = async () => {
    const found = await findUpload(landfall.db, OWNER, row.id)
    return found && [found.offset, await store.offsetOf(found)]
  }
  const sha = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

  async function stored(): Promise<Buffer> {
    const { size } = await (await storage.bytesOf(row)).assemble(row.id)
    const chunks: Buffer[] = []
    for await (const chunk of await (await storage.objectsOf(row)).read(row.storage_key)) chunks.push(chunk)
    const bytes = Buffer.concat(chunks)
    expect(bytes.length).toBe(size)
    return bytes
  }

  it.each([[[SIZE]], [[1, 6 * MIB, SIZE]], [[5 * MIB, 10 * MIB, SIZE - 1, SIZE]]])(
    'has what came in requests that ended at %j',
    async (ends) => {
      const bytes = randomBytes(SIZE)
      let from = 0
      for (const to of ends) {
        expect(await send(bytes.subarray(from, to))).toBe(to)
        if (to < SIZE) expect(await reached()).toEqual([to, to])
        from = to
      }
      expect(sha(await stored())).toBe(sha(bytes))
      // Done again it changes nothing.
      expect(sha(await stored())).toBe(sha(bytes))
    },
  )

  it('has an empty file', async () => {
    row = await open(0)
    expect(await send(Buffer.alloc(0))).toBe(0)
    expect(await stored()).toEqual(Buffer.alloc(0))
  })

  it('keeps what came before a body broke off, and goes on there', async () => {
    const bytes = randomBytes(SIZE)
    const broken = new Error('the client left')
    await expect(send(bytes.subarray(0, 7 * MIB + 5), broken)).rejects.toBe(broken)
    expect(await reached()).toEqual([7 * MIB + 5, 7 * MIB + 5])
    await send(bytes.subarray(7 * MIB + 5))
    expect(sha(await stored())).toBe(sha(bytes))
  })

  it('keeps what came before a body was too long', async () => {
    const bytes = randomBytes(SIZE)
    await send(bytes.subarray(0, 100_000))
    const failure = new BodyTooLong()
    await expect(send(bytes.subarray(100_000, 200_000), failure)).rejects.toBe(failure)
    expect(await reached()).toEqual([200_000, 200_000])
    await send(bytes.subarray(200_000))
    expect(sha(await stored())).toBe(sha(bytes))
  })

  it.each([
    ['is too long', new BodyTooLong(), { isAtomic: true }],
    ['failed', new Error('another digest'), { isAtomic: true }],
  ])('counts nothing of a body that all counts or not at all, and %s', async (_, failure, more) => {
    const bytes = randomBytes(SIZE)
    await send(bytes.subarray(0, 100_000))
    await expect(send(randomBytes(6 * MIB), failure, more)).rejects.toBe(failure)
    expect(await reached()).toEqual([100_000, 100_000])
    await send(bytes.subarray(100_000))
    expect(sha(await stored())).toBe(sha(bytes))
  })

  it('has the upload rejected by a verdict on what arrives', async () => {
    const verdict = new ContentRejected({ code: 'type-not-allowed', detail: 'It is something else.' })
    const told = await request()
    await expect(store.append(chunksOf(randomBytes(1000), verdict), told.append)).rejects.toBe(verdict)
    expect(told.rejected).toEqual([verdict])
    expect(await reached()).toEqual([0, 0])
  })

  it('writes nothing for a request that has lost its lease, before or in the middle', async () => {
    const late = await request()
    late.loseLease()
    await expect(store.append(chunksOf(randomBytes(1000)), late.append)).rejects.toThrow(LeaseLost)
    const bytes = randomBytes(SIZE)
    await send(bytes.subarray(0, 50_000))
    const told = await request()
    async function* losing() {
      yield* chunksOf(randomBytes(100_000))
      told.loseLease()
      yield* chunksOf(randomBytes(100_000))
    }
    await expect(store.append(losing(), told.append)).rejects.toThrow(LeaseLost)
    expect(await reached()).toEqual([50_000, 50_000])
    await send(bytes.subarray(50_000))
    expect(sha(await stored())).toBe(sha(bytes))
  })

  it('says of a file that is not there any more that its bytes are lost', async () => {
    await send(randomBytes(SIZE))
    await stored()
    await landfall.stored.lose(row.storage_key)
    await expect(stored()).rejects.toThrow(BytesLost)
  })
})
