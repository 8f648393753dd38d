import { randomBytes } from 'node:crypto'
import { expect, vi } from 'vitest'
import type { StorageKind } from '../support/landfall.ts'
import { problemOf } from '../support/raw-http.ts'
import type { S3Call, S3Operation } from '../support/s3-proxy.ts'
import type { Node, Pair } from './nodes.ts'
import type { Standstill } from './standstill.ts'
import { type SteadyPatch, steadyPatch } from './steady-patch.ts'
import {
  ALICE,
  append,
  begin,
  end,
  expectAt,
  expectGone,
  expectWhole,
  leftOf,
  MIB,
  pictureOf,
  QUICK_MS,
  resumeAt,
  sweepEarly,
  untilAt,
  untilNoParts,
  untilNothingLeft,
  untilReady,
  untilRemoved,
} from './steps.ts'

/** Node A stands still in the middle of a PATCH for longer than its lease lives, while its client goes on at B. */
type Play = (pair: Pair, standstill: Standstill) => Promise<void>

/** The lease has to run out first; a node waits no longer for one. */
const LEASE_MS = 15_000
const PART = 5 * MIB
/** So few bytes that all of them are on their way to the bucket, wherever it is that they are held up. */
const FEW = 60_000
const FOLLOWING = { timeout: 10_000, interval: 50 }

export const FROZEN: readonly { name: string; storages: readonly StorageKind[]; play: Play }[] = [
  { name: 'while its client goes half way elsewhere', storages: ['disk', 's3'], play: halfWay },
  { name: 'while its client finishes elsewhere', storages: ['disk', 's3'], play: finished },
  { name: 'while the upload is deleted elsewhere', storages: ['disk', 's3'], play: deleted },
  {
    name: 'while a part is on its way, which never arrives',
    storages: ['s3'],
    play: partInFlight,
  },
  {
    name: 'while the last part is on its way, which arrives before that of the other node',
    storages: ['s3'],
    play: (pair, standstill) => lastPartInFlight(pair, standstill, 'before'),
  },
  {
    name: 'while the last part is on its way, which arrives when the file is complete',
    storages: ['s3'],
    play: (pair, standstill) => lastPartInFlight(pair, standstill, 'after'),
  },
  {
    name: 'while a tail is on its way, which arrives when the file is complete',
    storages: ['s3'],
    play: tailOfFinished,
  },
  {
    name: 'while a tail is on its way, which arrives when the upload is deleted',
    storages: ['s3'],
    play: tailOfDeleted,
  },
  {
    name: 'while a whole file is on its way, which arrives when the upload is deleted',
    storages: ['s3'],
    play: wholeFileOfDeleted,
  },
  {
    name: 'while a multipart upload is being opened, which it is when the file is complete',
    storages: ['s3'],
    play: multipartOfFinished,
  },
  {
    name: 'while a multipart upload is being opened, which it is when the upload is deleted',
    storages: ['s3'],
    play: multipartOfDeleted,
  },
]

async function halfWay(pair: Pair, standstill: Standstill): Promise<void> {
  const { a, b } = pair
  const { id, bytes, stale } = await inMidBody(pair, standstill)
  const resumed = await resumeAt(b, id, LEASE_MS)
  expect(resumed).toBeGreaterThanOrEqual(MIB)
  const half = await append(b, id, bytes, resumed, resumed + MIB + 1)
  await standstill.ends()
  await expectLocked(stale)
  await expectAt(pair, id, half)
  await append(a, id, bytes, half)
  await expectWhole(pair, id, bytes)
}

async function finished(pair: Pair, standstill: Standstill): Promise<void> {
  const { b } = pair
  const { id, bytes, stale } = await inMidBody(pair, standstill)
  const resumed = await resumeAt(b, id, LEASE_MS)
  expect(resumed).toBeGreaterThanOrEqual(MIB)
  await append(b, id, bytes, resumed)
  await standstill.ends()
  await expectLocked(stale)
  await expectWhole(pair, id, bytes)
}

async function deleted(pair: Pair, standstill: Standstill): Promise<void> {
  const { id, stale } = await inMidBody(pair, standstill)
  await end(pair.b, id)
  await untilNothingLeft(pair, [id])
  await standstill.ends()
  await expectLocked(stale)
  await expectGone(pair, id)
  await untilNothingLeft(pair, [id])
}

async function partInFlight(pair: Pair, standstill: Standstill): Promise<void> {
  const { a, b } = pair
  const bytes = await pictureOf(2 * PART + MIB)
  const id = await begin(a, bytes.length)
  await append(a, id, bytes, 0, PART)
  const held = hold(pair, id, 'UploadPart')
  const stale = steadyPatch(a, ALICE, id, { offset: PART, length: PART + MIB })
  void stale.send(bytes.subarray(PART, 2 * PART + 1000))
  await held.arrived()
  await standstill.begins()
  expect(await resumeAt(b, id, LEASE_MS)).toBe(PART)
  await append(b, id, bytes, PART, 2 * PART)
  await standstill.ends()
  const thawedAt = performance.now()
  await expectLocked(stale)
  // It gave its call up, which has not come to an end.
  expect(performance.now() - thawedAt).toBeLessThan(QUICK_MS)
  held.thaw()
  await expectAt(pair, id, 2 * PART)
  await append(a, id, bytes, 2 * PART)
  await expectWhole(pair, id, bytes)
  await untilNoParts(pair, [id])
}

async function lastPartInFlight(
  pair: Pair,
  standstill: Standstill,
  arrives: 'before' | 'after',
): Promise<void> {
  const { a, b } = pair
  const bytes = await pictureOf(PART + FEW)
  const id = await begin(a, bytes.length)
  await append(a, id, bytes, 0, PART)
  const held = hold(pair, id, 'UploadPart')
  const stale = await sendRest(a, id, bytes, PART)
  await held.arrived()
  await standstill.begins()
  expect(await resumeAt(b, id, LEASE_MS)).toBe(PART)
  if (arrives === 'before') expect(await held.release()).toBe(200)
  await append(b, id, bytes, PART)
  if (arrives === 'after') {
    await untilReady(pair, id)
    expect(await held.release()).toBe(404)
  }
  await standstill.ends()
  await expectLocked(stale)
  await expectWhole(pair, id, bytes)
  await untilNoParts(pair, [id])
}

async function tailOfFinished(pair: Pair, standstill: Standstill): Promise<void> {
  const { b } = pair
  const { id, bytes, stale, held } = await withTailInFlight(pair, standstill)
  expect(await resumeAt(b, id, LEASE_MS)).toBe(0)
  await append(b, id, bytes, 0)
  await untilReady(pair, id)
  await release(pair, id, held)
  await standstill.ends()
  await expectLocked(stale)
  await expectWhole(pair, id, bytes)
  await untilNoParts(pair, [id])
}

async function tailOfDeleted(pair: Pair, standstill: Standstill): Promise<void> {
  const { id, stale, held } = await withTailInFlight(pair, standstill)
  await end(pair.b, id)
  await untilRemoved(pair, id)
  await release(pair, id, held)
  await standstill.ends()
  await expectLocked(stale)
  await expectGone(pair, id)
  await untilNothingLeft(pair, [id])
}

async function wholeFileOfDeleted(pair: Pair, standstill: Standstill): Promise<void> {
  const { a, b } = pair
  const bytes = await pictureOf(FEW)
  const id = await begin(a, bytes.length)
  const held = hold(pair, id, 'PutObject')
  const stale = await sendRest(a, id, bytes, 0)
  await held.arrived()
  await standstill.begins()
  await end(b, id)
  await untilRemoved(pair, id)
  await release(pair, id, held)
  await standstill.ends()
  await expectLocked(stale)
  await expectGone(pair, id)
  await sweepEarly(pair, id)
  await untilNothingLeft(pair, [id])
}

async function multipartOfFinished(pair: Pair, standstill: Standstill): Promise<void> {
  const { b } = pair
  const { id, bytes, stale, held } = await withMultipartInFlight(pair, standstill)
  expect(await resumeAt(b, id, LEASE_MS)).toBe(0)
  await append(b, id, bytes, 0)
  await untilReady(pair, id)
  await release(pair, id, held)
  await standstill.ends()
  await expectLocked(stale)
  await sweepEarly(pair, id)
  await untilNoParts(pair, [id])
  await expectWhole(pair, id, bytes)
}

async function multipartOfDeleted(pair: Pair, standstill: Standstill): Promise<void> {
  const { id, stale, held } = await withMultipartInFlight(pair, standstill)
  await end(pair.b, id)
  await untilRemoved(pair, id)
  await release(pair, id, held)
  await standstill.ends()
  await expectLocked(stale)
  await expectGone(pair, id)
  await sweepEarly(pair, id)
  await untilNothingLeft(pair, [id])
}

/**
 * A has acknowledged 1 MiB, has received 2 MiB more, and then stands still; what its client goes on sending on that
 * connection is another file's.
 */
async function inMidBody({ a }: Pair, standstill: Standstill) {
  const bytes = await pictureOf(6 * MIB + 7)
  const id = await begin(a, bytes.length)
  await append(a, id, bytes, 0, MIB)
  const stale = steadyPatch(a, ALICE, id, { offset: MIB, length: bytes.length - MIB })
  await stale.send(bytes.subarray(MIB, 3 * MIB))
  await untilAt(a, id, 3 * MIB)
  await standstill.begins()
  // Fills what the kernel takes for A, to be read when A goes on.
  void stale.send(randomBytes(bytes.length - 3 * MIB))
  return { id, bytes, stale }
}

async function withTailInFlight(pair: Pair, standstill: Standstill) {
  const { a } = pair
  const bytes = await pictureOf(MIB)
  const id = await begin(a, bytes.length)
  const held = hold(pair, id, 'PutObject')
  const stale = await sendRest(a, id, bytes.subarray(0, FEW), 0)
  await held.arrived()
  await standstill.begins()
  return { id, bytes, stale, held }
}

async function withMultipartInFlight(pair: Pair, standstill: Standstill) {
  const { a } = pair
  const bytes = await pictureOf(2 * PART)
  const id = await begin(a, bytes.length)
  const held = hold(pair, id, 'CreateMultipartUpload')
  const stale = steadyPatch(a, ALICE, id, { offset: 0, length: PART })
  void stale.send(bytes.subarray(0, PART))
  await held.arrived()
  await standstill.begins()
  return { id, bytes, stale, held }
}

async function sendRest(node: Node, id: string, bytes: Buffer, from: number): Promise<SteadyPatch> {
  const patch = steadyPatch(node, ALICE, id, { offset: from, length: bytes.length - from })
  await patch.send(bytes.subarray(from))
  return patch
}

/** It was told that another had taken over. */
async function expectLocked(stale: SteadyPatch): Promise<void> {
  const given = await stale.answer
  stale.close()
  expect([given.status, problemOf(given).code]).toEqual([423, 'locked'])
}

type Held = {
  /** Resolves when A's call is there and waits. */
  arrived(): Promise<void>
  /** Lets it go on. Resolves with what the bucket says to it. */
  release(): Promise<number>
  thaw(): void
}

/** Holds A's next call of this kind for this upload up, between A and the bucket. */
function hold({ proxy }: Pair, id: string, operation: S3Operation): Held {
  if (!proxy) throw new Error('there is no bucket')
  const isIt = (call: S3Call) => call.operation === operation && call.key.startsWith(`uploads/${id}`)
  let held: S3Call | undefined
  const fault = proxy.fail({
    what: 'stall',
    times: 1,
    when: (call) => {
      if (!isIt(call)) return false
      held ??= call
      return true
    },
  })
  return {
    arrived: () => vi.waitFor(() => expect(fault.hits).toBe(1), FOLLOWING),
    async release() {
      fault.stop()
      return await vi.waitFor(() => held?.status ?? fail('it has not arrived'), FOLLOWING)
    },
    thaw: () => fault.stop(),
  }
}

/** The bucket must do what A, which stands still, has asked of it: else there would be nothing to clean up. */
async function release(pair: Pair, id: string, held: Held): Promise<void> {
  const before = await leftOf(pair, [id])
  expect(await held.release()).toBe(200)
  expect(await leftOf(pair, [id])).toHaveLength(before.length + 1)
}

function fail(message: string): never {
  throw new Error(message)
}
