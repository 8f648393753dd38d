import { createHash, randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import { sql } from 'kysely'
import { expect, vi } from 'vitest'
import { QUEUES } from '../../jobs/queues.ts'
import { jpeg } from '../fixtures/media.ts'
import { asUploadId } from '../support/ids.ts'
import { statusOf } from '../support/status.ts'
import { createId, head, patch, type Target, terminate } from '../support/tus.ts'
import { outcome } from '../support/uploads.ts'
import type { Node, Pair } from './nodes.ts'

/** What clients of two servers do, and what they expect of them. All of it is alice's. */

const MAIN = join(import.meta.dirname, '..', '..', 'landfall.ts')

export const ALICE = 'alice'
/** Well under what a client would take for a hang, and under the life of a lease (10 s). */
export const QUICK_MS = 8_000
export const MIB = 1024 * 1024
/** Workers and nodes clean up behind their answers. */
const CLEANING = { timeout: 15_000, interval: 100 }

/** A picture of exactly so many bytes, like no other. */
export async function pictureOf(size: number): Promise<Buffer> {
  const picture = await readFile((await jpeg({ width: 320, height: 240 })).path)
  return Buffer.concat([picture, randomBytes(size - picture.length)])
}

export async function begin(node: Target, size: number): Promise<string> {
  return await createId(node, ALICE, { size, metadata: { filename: 'picture.jpg' } })
}

/** Sends `[from, to)` of the file, which must be taken whole. Returns `to`. */
export async function append(
  node: Target,
  id: string,
  bytes: Buffer,
  from: number,
  to = bytes.length,
): Promise<number> {
  const answer = await patch(node, ALICE, id, { offset: from, body: bytes.subarray(from, to) })
  expect([answer.status, answer.headers.get('Upload-Offset'), await answer.text()]).toEqual([
    204,
    String(to),
    '',
  ])
  return to
}

/** What a client that resumes is told; fails when it is not told at once, unless it has `maxWaitMs`. */
export async function resumeAt(node: Target, id: string, maxWaitMs = QUICK_MS): Promise<number> {
  const askedAt = performance.now()
  const answer = await head(node, ALICE, id)
  expect(answer.status).toBe(200)
  expect(performance.now() - askedAt).toBeLessThan(maxWaitMs)
  return Number(answer.headers.get('Upload-Offset'))
}

/** Ends the upload, which must succeed. */
export async function end(node: Target, id: string): Promise<void> {
  const answer = await terminate(node, ALICE, id)
  expect([answer.status, await answer.text()]).toEqual([204, ''])
}

/** Waits until a node has read so many bytes, acknowledged or not. */
export async function untilAt(
  node: Pick<Node, 'url' | 'token' | 'as'>,
  id: string,
  offset: number,
): Promise<void> {
  await vi.waitFor(
    async () => expect((await statusOf(node, ALICE, id)).offset).toBeGreaterThanOrEqual(offset),
    { timeout: 10_000, interval: 50 },
  )
}

/** Waits until a request has begun to write to the upload, or to end it. */
export async function untilHeld({ db }: Pair, id: string): Promise<void> {
  const leases = () =>
    db.selectFrom('landfall.upload_locks').select('fence').where('upload_id', '=', asUploadId(id)).execute()
  await vi.waitFor(async () => expect(await leases()).toHaveLength(1), { timeout: 10_000, interval: 10 })
}

/** Both nodes say the upload is at `offset`, and so does the ledger. */
export async function expectAt({ a, b, db }: Pair, id: string, offset: number): Promise<void> {
  expect(await ledgerOffset(db, id)).toBe(offset)
  for (const node of [a, b]) expect(await resumeAt(node, id)).toBe(offset)
}

/** The file becomes ready, is stored as it was sent, and both nodes serve it so. */
export async function expectWhole({ a, b, stored }: Pair, id: string, bytes: Buffer): Promise<void> {
  const media = await outcome(b, ALICE, id)
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  expect(media, JSON.stringify(media.reason)).toMatchObject({
    uploadId: id,
    status: 'ready',
    size: bytes.length,
    sha256,
  })
  expect((await stored.bytes(`uploads/${id}`)).equals(bytes), 'the object').toBe(true)
  for (const node of [a, b]) {
    const content = await node.as(ALICE)(`/api/v1/media/${media.id}/content`)
    expect(content.status).toBe(200)
    expect(Buffer.from(await content.arrayBuffer()).equals(bytes), 'the content').toBe(true)
    expect(await statusOf(node, ALICE, id)).toMatchObject({ state: 'received', offset: bytes.length })
  }
}

/** Both nodes say that the upload is over. */
export async function expectGone({ a, b }: Pair, id: string): Promise<void> {
  for (const node of [a, b]) expect((await head(node, ALICE, id)).status).toBe(410)
}

/** Everything that is stored of these uploads. */
export async function leftOf({ stored }: Pick<Pair, 'stored'>, ids: readonly string[]): Promise<string[]> {
  const isTheirs = (key: string) => ids.some((id) => key.startsWith(`uploads/${id}`))
  return [...(await stored.keys()).filter(isTheirs), ...(await multipartsOf({ stored }, ids))]
}

async function multipartsOf({ stored }: Pick<Pair, 'stored'>, ids: readonly string[]): Promise<string[]> {
  const open = await stored.openMultiparts()
  return open.filter((key) => ids.some((id) => key === `uploads/${id}`)).map((key) => `multipart of ${key}`)
}

/** Waits until nothing of these uploads is left. */
export async function untilNothingLeft(pair: Pair, ids: readonly string[]): Promise<void> {
  await vi.waitFor(async () => expect(await leftOf(pair, ids)).toEqual([]), CLEANING)
}

/** Waits until nothing of these uploads is left but their objects: no tail, no open multipart upload. */
export async function untilNoParts(pair: Pair, ids: readonly string[]): Promise<void> {
  const objects = new Set(ids.map((id) => `uploads/${id}`))
  const parts = async () => (await leftOf(pair, ids)).filter((key) => !objects.has(key))
  await vi.waitFor(async () => expect(await parts()).toEqual([]), CLEANING)
}

export async function untilReady({ b }: Pair, id: string): Promise<void> {
  expect(await outcome(b, ALICE, id)).toMatchObject({ status: 'ready' })
}

/** Waits until a worker has removed what it found of an ended upload. */
export async function untilRemoved({ db }: Pair, id: string): Promise<void> {
  const removed = async () => {
    const { rows } = await sql<{ state: string }>`
      select state::text from pgboss.job
       where name = ${QUEUES.removal} and data ->> 'uploadId' = ${id}`.execute(db)
    return rows.map(({ state }) => state)
  }
  await vi.waitFor(async () => expect(await removed()).toEqual(['completed']), CLEANING)
}

/** Has what was removed of this upload removed once more, as after the time in which late calls may still arrive. */
export async function sweepEarly(pair: Pair, id: string): Promise<void> {
  const { db } = pair
  await sql`update landfall.upload_tails set dropped_at = dropped_at - interval '1 hour'
             where upload_id = ${id}`.execute(db)
  await sql`update landfall.uploads set updated_at = updated_at - interval '1 hour' where id = ${id}`.execute(
    db,
  )
  await reap(pair)
}

/** `landfall reap`, as its user runs it. */
export async function reap({ env }: Pair, more: Record<string, string> = {}): Promise<void> {
  await execa(process.execPath, [MAIN, 'reap'], { env: { ...env, ...more } })
}

/** As the ledger has it: to clients an upload has expired before it is ended. */
export async function ledgerState(db: Pair['db'], id: string): Promise<string> {
  const row = await db
    .selectFrom('landfall.uploads')
    .select('state')
    .where('id', '=', asUploadId(id))
    .executeTakeFirstOrThrow()
  return row.state
}

async function ledgerOffset(db: Pair['db'], id: string): Promise<number> {
  const row = await db
    .selectFrom('landfall.uploads')
    .select('offset')
    .where('id', '=', asUploadId(id))
    .executeTakeFirstOrThrow()
  return row.offset
}
