import { randomBytes } from 'node:crypto'
import { expect } from 'vitest'
import { type Landfall, startLandfall } from '../support/landfall.ts'
import { raceAfter, slowly } from '../support/pauses.ts'
import type { Random } from '../support/random.ts'
import { patch, terminate } from '../support/tus.ts'
import type { Node, Pair } from './nodes.ts'
import { steadyPatch } from './steady-patch.ts'
import {
  ALICE,
  append,
  begin,
  end,
  expectAt,
  expectGone,
  expectWhole,
  ledgerState,
  MIB,
  pictureOf,
  QUICK_MS,
  reap,
  resumeAt,
  untilAt,
  untilHeld,
  untilNothingLeft,
} from './steps.ts'

// What clients do with two servers that both run.

const KIB = 1024

/** Every request goes to the other node than the one before it. */
export async function switching(pair: Pair): Promise<void> {
  const { a, b } = pair
  const bytes = await pictureOf(11 * MIB + 13)
  const id = await begin(a, bytes.length)
  const chunks = [700_001, 65_537, 3_333_333, 1_234_567]
  let offset = 0
  for (let request = 0; offset < bytes.length; request++) {
    const [here, there] = request % 2 === 0 ? [b, a] : [a, b]
    const chunk = chunks[request % chunks.length] ?? MIB
    offset = await append(here, id, bytes, offset, Math.min(bytes.length, offset + chunk))
    if (request % 3 === 0) expect(await resumeAt(there, id)).toBe(offset)
  }
  await expectWhole(pair, id, bytes)
}

/** Its PATCH hangs on A: it asks B how far it got, and goes on there. */
export async function resumingElsewhere(pair: Pair): Promise<void> {
  const { a, b } = pair
  const bytes = await pictureOf(4 * MIB + 1)
  const id = await begin(a, bytes.length)
  const stale = steadyPatch(a, ALICE, id, { offset: 0, length: bytes.length })
  await stale.send(bytes.subarray(0, 1_234_567))
  await untilAt(a, id, 1_234_567)
  expect(await resumeAt(b, id)).toBe(1_234_567)
  expect(await stale.answer).toMatchObject({ status: 204, headers: { 'upload-offset': '1234567' } })

  const onward = steadyPatch(b, ALICE, id, { offset: 1_234_567, length: 3 * MIB - 1_234_567 })
  await onward.send(bytes.subarray(1_234_567, 2 * MIB))
  await untilHeld(pair, id)
  // Another file's, so that none of it can come in unseen.
  await stale.send(randomBytes(MIB))
  await onward.send(bytes.subarray(2 * MIB, 3 * MIB))
  expect(await onward.answer).toMatchObject({ status: 204, headers: { 'upload-offset': String(3 * MIB) } })
  await stale.send(randomBytes(bytes.length - 1_234_567 - MIB))
  await expectAt(pair, id, 3 * MIB)
  stale.close()
  onward.close()
  await append(b, id, bytes, 3 * MIB)
  await expectWhole(pair, id, bytes)
}

/** Its PATCH is still running on A when it asks B, again and again, now here and now there. */
export async function resumingInFullRun(pair: Pair): Promise<void> {
  const { a, b } = pair
  const bytes = await pictureOf(9 * MIB + 5)
  const id = await begin(a, bytes.length)
  let offset = 0
  for (let turn = 0; turn < 6; turn++) {
    const [here, there] = turn % 2 === 0 ? [a, b] : [b, a]
    const stream = streamFrom(here, id, bytes, offset)
    await untilAt(here, id, Math.min(bytes.length, offset + MIB))
    const acknowledged = offset
    offset = await resumeAt(there, id)
    stream.spoil()
    expect(offset).toBeGreaterThanOrEqual(acknowledged)
    await stream.over
  }
  if (offset < bytes.length) await append(b, id, bytes, offset)
  await expectWhole(pair, id, bytes)
}

/** Sends the file, some 6 MB a second, until it is spoiled: then what follows is another file's. */
function streamFrom(node: Node, id: string, bytes: Buffer, offset: number) {
  const patch = steadyPatch(node, ALICE, id, { offset, length: bytes.length - offset })
  let isSpoiled = false
  const run = async () => {
    for (let at = offset; at < bytes.length; at += 64 * KIB) {
      const piece = bytes.subarray(at, at + 64 * KIB)
      await patch.send(isSpoiled ? randomBytes(piece.length) : piece)
      await slowly(10)
    }
    patch.close()
  }
  return {
    over: run(),
    spoil() {
      isSpoiled = true
    },
  }
}

/** The upload is deleted on B in the middle of a PATCH on A that hangs. */
export async function deletedInMidBody(pair: Pair): Promise<void> {
  const { a, b } = pair
  const bytes = await pictureOf(3 * MIB)
  const id = await begin(a, bytes.length)
  await append(a, id, bytes, 0, MIB)
  const stale = steadyPatch(a, ALICE, id, { offset: MIB, length: 2 * MIB })
  await stale.send(bytes.subarray(MIB, 2 * MIB))
  await untilAt(a, id, 2 * MIB)
  const askedAt = performance.now()
  await end(b, id)
  expect(performance.now() - askedAt).toBeLessThan(QUICK_MS)
  await stale.send(bytes.subarray(2 * MIB))
  // It had let go before, with what it had.
  expect(await stale.answer).toMatchObject({ status: 204, headers: { 'upload-offset': String(2 * MIB) } })
  stale.close()
  await expectGone(pair, id)
  await untilNothingLeft(pair, [id])
}

/** Many uploads are deleted on B some moments after a PATCH of each began on A. Returns their ids. */
export async function deletedAtAnyMoment(pair: Pair, random: Random): Promise<void> {
  const { a, b } = pair
  const bytes = await pictureOf(400 * KIB)
  const race = async () => {
    const id = await begin(a, bytes.length)
    // Some of them complete: then it is a media that is deleted.
    const sent = random.chance(0.3) ? bytes.length : 300 * KIB
    const delayMs = random.integer(0, 60)
    const patching = patch(a, ALICE, id, { offset: 0, body: bytes.subarray(0, sent) })
    await raceAfter(delayMs)
    await untilDeleted(b, id)
    // As it overtook, was overtaken, or came too late.
    expect([204, 410, 423]).toContain((await patching).status)
    await expectGone(pair, id)
    return id
  }
  const ids: string[] = []
  for (let round = 0; round < 5; round++) ids.push(...(await Promise.all([race(), race(), race(), race()])))
  await reap(pair, { MEDIA_RETENTION: '1ms' })
  await untilNothingLeft(pair, ids)
}

async function untilDeleted(node: Node, id: string): Promise<void> {
  for (;;) {
    const { status } = await terminate(node, ALICE, id)
    if (status === 204) return
    // The PATCH ended the upload between the look at it and its end: to be tried again, as by any client.
    expect(status).toBe(423)
  }
}

/** Time runs out on uploads while PATCHes bring more of them to both nodes, and reapers end them. */
export async function expired(pair: Pair, random: Random): Promise<void> {
  const { db, env } = pair
  // Those of the pair let uploads live for a day since their last byte.
  const start = () =>
    startLandfall({
      withoutWorker: true,
      connectionString: env.DATABASE_URL ?? '',
      dataDirectory: env.DATA_DIR ?? '',
      env: { ...env, UPLOAD_EXPIRES_AFTER: '2s', UPLOAD_MAX_AGE: '4s' },
    })
  const [creator, other] = await Promise.all([start(), start()])
  try {
    const bytes = await pictureOf(MIB)
    const size = 100 * MIB
    const slow = await begin(creator, size)
    const running = steadyPatch(other, ALICE, slow, { offset: 0, length: 2 * MIB })
    await running.send(bytes)
    await untilAt(other, slow, MIB)

    const ids = await Promise.all(Array.from({ length: 8 }, () => begin(creator, size)))
    let areAllOver = false
    const reaping = (async () => {
      while (!areAllOver) await reap(pair)
    })()
    await Promise.all(ids.map((id) => patchUntilGone([creator, other], id, bytes, random))).finally(() => {
      areAllOver = true
    })
    await reaping
    await reap(pair)
    for (const id of ids) {
      await expectGone(pair, id)
      expect(await ledgerState(db, id)).toBe('expired')
    }
    await untilNothingLeft(pair, ids)

    // A request that has begun is not cut off, but it is the last.
    expect(await ledgerState(db, slow)).toBe('open')
    await running.send(bytes)
    expect((await running.answer).status).toBe(204)
    running.close()
    await reap(pair)
    expect(await ledgerState(db, slow)).toBe('expired')
    await untilNothingLeft(pair, [slow])
  } finally {
    await Promise.all([creator.close(), other.close()])
  }
}

async function patchUntilGone(
  nodes: readonly [Landfall, Landfall],
  id: string,
  bytes: Buffer,
  random: Random,
): Promise<void> {
  let offset = 0
  for (;;) {
    const body = bytes.subarray(0, random.integer(10, 200) * KIB)
    const answer = await patch(random.pick(nodes), ALICE, id, { offset, body })
    // Locked out by the reaper in mid-request; the next attempt is told why.
    if (answer.status === 410) return
    expect([204, 423]).toContain(answer.status)
    if (answer.status === 204) offset += body.length
    await slowly(random.integer(0, 100))
  }
}
