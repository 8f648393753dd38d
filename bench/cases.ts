import type { UploadPlan } from './client/plan.ts'
import { PEERS, type PeerName } from './subjects/subject.ts'

export const STORAGES = ['disk', 's3'] as const
export type StorageKind = (typeof STORAGES)[number]

export type Case = {
  name: string
  /** What its rate and its CPU time are counted by. */
  per: 'bytes' | 'files'
  /** What S3 calls are counted by. */
  operation: 'PATCH' | 'file'
  /** Runs that count, besides the first. */
  rounds: number
  /** Whom Landfall is measured beside, unless others are named. */
  peers: readonly PeerName[]
  /** Only when asked for. */
  isLong: boolean
  /** Milliseconds by which each call of the bucket is late, as over a network; only S3 has such cases. */
  awayMs: number
  full: Record<StorageKind, UploadPlan>
  quick: UploadPlan
  /** What goes through the counting proxy. */
  counted: UploadPlan
}

const MB = 1e6
const MIB = 1024 ** 2
const GIB = 1024 ** 3

const one = (size: number, requestSize = size): UploadPlan => ({
  uploads: 1,
  size,
  requestSize,
  parallel: 1,
  bytesPerSecond: null,
})

const many = (
  uploads: number,
  size: number,
  parallel: number,
  bytesPerSecond: number | null,
): UploadPlan => ({
  uploads,
  size,
  requestSize: size,
  parallel,
  bytesPerSecond,
})

const onBoth = (plan: UploadPlan) => ({ disk: plan, s3: plan })

const chunked = (chunk: number): Omit<Case, 'name'> => ({
  per: 'bytes',
  operation: 'PATCH',
  rounds: 3,
  peers: PEERS,
  isLong: false,
  awayMs: 0,
  full: onBoth(one(256 * MIB, chunk)),
  quick: one(64 * MIB, chunk),
  counted: one(128 * MIB, chunk),
})

/** Everything that is measured, in this order. */
export const CASES: readonly Case[] = [
  {
    name: 'one-patch',
    per: 'bytes',
    operation: 'file',
    rounds: 2,
    peers: PEERS,
    isLong: false,
    awayMs: 0,
    full: onBoth(one(GIB)),
    quick: one(256 * MIB),
    counted: one(256 * MIB),
  },
  { name: 'chunks-5m', ...chunked(5 * MIB) },
  { name: 'chunks-5m-away', ...chunked(5 * MIB), peers: ['stock'], awayMs: 10 },
  { name: 'chunks-16m', ...chunked(16 * MIB) },
  {
    name: 'small-files',
    per: 'files',
    operation: 'file',
    rounds: 3,
    peers: PEERS,
    isLong: false,
    awayMs: 0,
    full: onBoth(many(2000, 10_000, 16, null)),
    quick: many(400, 10_000, 16, null),
    counted: many(100, 10_000, 16, null),
  },
  {
    name: 'paced',
    per: 'bytes',
    operation: 'file',
    rounds: 1,
    peers: ['stock'],
    isLong: false,
    awayMs: 0,
    // All together stay below what the slower subject can take, on a machine with two cores.
    full: { disk: many(100, 50 * MB, 100, MB), s3: many(100, 50 * MB, 100, 0.4 * MB) },
    quick: many(100, 2 * MB, 100, 0.4 * MB),
    counted: many(8, 50 * MB, 8, 5 * MB),
  },
  {
    name: 'long',
    per: 'bytes',
    operation: 'file',
    rounds: 1,
    peers: [],
    isLong: true,
    awayMs: 0,
    full: { disk: many(3, 5000 * MB, 3, null), s3: many(1, 5000 * MB, 1, null) },
    quick: many(3, 500 * MB, 3, null),
    counted: many(1, 500 * MB, 1, null),
  },
]
