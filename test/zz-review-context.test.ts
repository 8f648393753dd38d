import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { Kysely, PostgresAdapter, PostgresIntrospector, PostgresQueryCompiler } from 'kysely'
import { expect, it } from 'vitest'
import { withAppendContext } from '../storage/append-context.ts'
import { endsUpload } from '../storage/commits.ts'
import { appendContext } from '../storage/append-context.ts'
import { BlockPool } from '../storage/s3/block-pool.ts'
import { S3Append } from '../storage/s3/s3-append.ts'

const MIB = 1024 * 1024
function ledger(): any {
  const rows = [{ upload_id: 'x', id: 'x', was_unsure: false, contended: false }]
  const nothing = async () => {}
  const connection = { executeQuery: async () => ({ rows }), async *streamQuery() {} }
  const driver = { init: nothing, destroy: nothing, acquireConnection: async () => connection, releaseConnection: nothing, beginTransaction: nothing, commitTransaction: nothing, rollbackTransaction: nothing }
  return new Kysely({ dialect: { createAdapter: () => new PostgresAdapter(), createIntrospector: (db) => new PostgresIntrospector(db), createQueryCompiler: () => new PostgresQueryCompiler(), createDriver: () => driver as never } })
}
const stored = new Map<string, Buffer>()
const bucket = {
  options: { memoryBudget: 16 * MIB },
  async put(k: string, body: any) { await sleep(5); stored.set(k, Buffer.concat([...body.chunks()])); return { etag: '"t"', isSure: true } },
  async uploadPart() { await sleep(5); return '"p"' },
  async createMultipart() { return { id: 'm', isSure: true } },
  async read(k: string) { return Readable.from([stored.get(k)]) },
} as any
it('commits of one request are told to another', async () => {
  const pool = new BlockPool(16 * MIB, 0, 0) // 64 blocks
  const log: string[] = []
  const run = (name: string, size: number, completes: boolean, source: AsyncIterable<Buffer>) => {
    const upload = { id: name, offset: 0, size, state: 'open', storage_key: name, multipart_id: null, part_size: 8 * MIB } as any
    // As Commits.checkpoint and Commits.lastAppend do it, without the database
    const commits = {
      checkpoint: async (row: any, _l: any, to: number) => { await sleep(1); row.offset = to; log.push(`checkpoint of ${row.id} to ${to} of ${row.size}`); appendContext().onCommitted?.(to) },
      lastAppend: async (row: any, _l: any, to: number) => { row.offset = to; log.push(`last of ${row.id} to ${to}; complete=${endsUpload(row, to)}`) },
    } as any
    const context = { completes, upload, onCommitted: (to: number) => log.push(`104 to the client of ${name}: Upload-Offset ${to}`) } as any
    return withAppendContext(context, () =>
      new S3Append({ s3: bucket, objects: bucket, pool, db: ledger(), commits, dropTails() {}, giveUpTails() {} } as any,
        { upload, lease: { fence: 'f', isCurrent: () => true }, partSize: 8 * MIB, tails: [], isAtomic: false, endsUpload: (to: number) => endsUpload(upload, to), onReceived() {} } as any).run(source))
  }
  const done = Promise.withResolvers<void>()
  async function* stalls(bytes: number) { for (let i = 0; i < bytes; i += 65536) yield Buffer.alloc(65536); await done.promise }
  async function* flows(bytes: number) { await sleep(1200); for (let i = 0; i < bytes; i += 65536) { yield Buffer.alloc(65536) } await sleep(300); done.resolve() }
  // B has sent all of its file, and its end has not come yet; A needs memory
  const b = run('B', 7 * MIB, true, stalls(7 * MIB))
  const b2 = run('B2', 100 * MIB, true, stalls(7 * MIB))
  const a = run('A', 64 * MIB, false, flows(6 * MIB))
  await Promise.all([a, b, b2])
  console.log(log.join('\n'))
})
