import { Readable } from 'node:stream'
import { Kysely, PostgresAdapter, PostgresIntrospector, PostgresQueryCompiler } from 'kysely'
import { describe, expect, it } from 'vitest'
import type { Ledger } from '../../ledger/database.ts'
import type { Lease } from '../../ledger/lease-keeper.ts'
import type { UploadRow } from '../../ledger/uploads.ts'
import { slowly } from '../../test/support/pauses.ts'
import type { Append } from '../store/upload-store.ts'
import { BlockPool } from './block-pool.ts'
import { S3Append, type S3AppendOptions } from './s3-append.ts'
import type { S3Body } from './s3-body.ts'

// Stand-ins, because what is tested is how requests wait for each other when calls take as long as the test wants:
// neither a real bucket nor a real ledger can be made to. What they do to bytes the tests on real ones show.

const MIB = 1024 * 1024
const PART = 8 * MIB
const BUDGET = 128 * MIB

/** A bucket whose tails take this long to store. */
class SlowBucket {
  readonly options = { memoryBudget: BUDGET }
  readonly stored = new Map<string, Buffer>()
  readonly #tailMs: number

  constructor(tailMs: number) {
    this.#tailMs = tailMs
  }

  async put(key: string, body: S3Body) {
    await slowly(this.#tailMs)
    const chunks: Uint8Array[] = []
    for await (const chunk of body.chunks()) chunks.push(chunk)
    this.stored.set(key, Buffer.concat(chunks))
    return { etag: '"tail"', isConfirmed: true }
  }

  async uploadPart() {
    await slowly(10)
    return '"part"'
  }

  async createMultipart() {
    await slowly(10)
    return { id: 'multipart', isConfirmed: true }
  }

  async read(key: string) {
    return Readable.from([this.stored.get(key) ?? Buffer.alloc(0)])
  }
}

/** A ledger that agrees to everything. */
function agreeingLedger(): Ledger {
  const rows = [{ upload_id: 'x', id: 'x', was_unsure: false, contended: false }]
  const nothing = async () => {}
  const connection = { executeQuery: async () => ({ rows }), async *streamQuery() {} }
  const driver = {
    init: nothing,
    destroy: nothing,
    acquireConnection: async () => connection,
    releaseConnection: nothing,
    beginTransaction: nothing,
    commitTransaction: nothing,
    rollbackTransaction: nothing,
  }
  return new Kysely({
    dialect: {
      createAdapter: () => new PostgresAdapter(),
      createIntrospector: (db) => new PostgresIntrospector(db),
      createQueryCompiler: () => new PostgresQueryCompiler(),
      createDriver: () => driver as never,
    },
  }) as unknown as Ledger
}

type Play = { bucket: SlowBucket; pool: BlockPool; from: number; multipartId: string | null }

/** One client that resumes behind a tail and sends what `source` gives. */
async function resume(
  { bucket, pool, from, multipartId }: Play,
  name: string,
  source: AsyncIterable<Buffer>,
) {
  const tail = { key: `tail-${name}`, offset: 0, size: from, etag: '"tail"', isConfirmed: true }
  bucket.stored.set(tail.key, Buffer.alloc(from))
  const upload = {
    id: name,
    offset: from,
    size: 64 * MIB,
    state: 'open',
    storage_key: name,
    multipart_id: multipartId,
    part_size: PART,
  } as unknown as UploadRow
  const options = {
    s3: bucket,
    objects: bucket,
    pool,
    db: agreeingLedger(),
    deleteTails() {},
    abandonTails() {},
  } as unknown as S3AppendOptions
  const lease = { fence: 'fence', isCurrent: () => true } as unknown as Lease
  const commit = async (to: number) => {
    upload.offset = to
  }
  const append = {
    upload,
    lease,
    offset: from,
    isAtomic: false,
    endsAt: (to: number) => to === upload.size,
    received() {},
    inOwnerTurn: (work: () => Promise<void>) => work(),
    checkpoint: commit,
    commit,
  } as unknown as Append
  return await new S3Append(options, { append, partSize: PART, tails: [tail] }).run(source)
}

async function* zeros(from: number, to: number): AsyncGenerator<Buffer> {
  for (let at = from; at < to; at += 64 * 1024) yield Buffer.alloc(64 * 1024)
}

/** A pool of which so many blocks are left, and the others come back soon. */
async function scarcePool(left: number): Promise<BlockPool> {
  const pool = new BlockPool(BUDGET, undefined, 0)
  const lent = [...(await pool.take(256)), ...(await pool.take(256 - left))]
  void slowly(300).then(() => pool.give(lent))
  return pool
}

describe('requests that share scarce memory', () => {
  it('do not wait for each other for ever, when parts have to be joined from tails that are slow', async () => {
    const bucket = new SlowBucket(1_000)
    const from = 7.5 * MIB
    const pool = await scarcePool(25)
    const play = { bucket, pool, from, multipartId: null }
    const ends = Array.from({ length: 5 }, (_, i) => resume(play, `upload-${i}`, zeros(from, 64 * MIB)))
    expect(await Promise.all(ends)).toEqual(Array(5).fill(64 * MIB))
    expect(await pool.take(256)).toHaveLength(256)
  }, 20_000)

  it('give back what they hold when they fail, before they wait for what is on its way', async () => {
    const bucket = new SlowBucket(1_000)
    const from = 7.75 * MIB
    const pool = await scarcePool(56)
    const play = { bucket, pool, from, multipartId: 'multipart' }
    async function* tooMuch() {
      yield* zeros(from, 16 * MIB - 64 * 1024)
      throw Object.assign(new Error('too long'), { status_code: 413 })
    }
    const ends = Array.from({ length: 14 }, (_, i) => resume(play, `upload-${i}`, tooMuch()))
    const outcomes = await Promise.allSettled(ends)
    expect(outcomes.map(({ status }) => status)).toEqual(Array(14).fill('rejected'))
    expect(await pool.take(256)).toHaveLength(256)
  }, 20_000)
})
