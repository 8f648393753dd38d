import { BLOCK_BYTES } from './block-pool.ts'

const MIB = 1024 * 1024
const MAX_OBJECT_BYTES = 5 * 1024 ** 4
/** Smallest part that S3 takes, except for the last. */
export const MIN_PART_BYTES = 5 * MIB
/** Larger parts would be gathered for too long. */
const MAX_CHUNK_BYTES = 64 * MIB
const USUAL_PART_BYTES = 8 * MIB
export const MAX_PARTS = 10_000

export type PartSizeQuestion = {
  /** Bytes of the first body; undefined when it is chunked. */
  bodyLength: number | undefined
  /** Size of the whole upload, or the most it may become. */
  size: number
  isSizeKnown: boolean
  /** Bytes of memory that this upload can count on. */
  share: number
}

/**
 * Bytes of every part but the last. A client that sends chunks of 5 to 64 MiB gets parts of that size, so that each
 * request is one part; others get 8 MiB. A whole file in one body is one part if memory allows. Never more than 10,000
 * parts.
 */
export function choosePartSize({ bodyLength, size, isSizeKnown, share }: PartSizeQuestion): number {
  return Math.max(preferred({ bodyLength, size, isSizeKnown, share }), minPartSizeFor(size))
}

/** The smallest part size with which 10,000 parts hold so many bytes, in whole MiB. */
export const minPartSizeFor = (size: number): number => Math.ceil(size / MAX_PARTS / MIB) * MIB

function preferred({ bodyLength, size, isSizeKnown, share }: PartSizeQuestion): number {
  const isChunk = bodyLength !== undefined && bodyLength >= MIN_PART_BYTES && bodyLength <= MAX_CHUNK_BYTES
  const isWhole = isSizeKnown && bodyLength === size
  if (isChunk && (!isWhole || bodyLength <= Math.max(share, USUAL_PART_BYTES))) return bodyLength
  // Many uploads: smaller parts are full earlier and free their memory.
  return share < USUAL_PART_BYTES ? MIN_PART_BYTES : USUAL_PART_BYTES
}

/** The largest upload that S3 takes and whose parts fit into the blocks of a memory budget. */
export function maxUploadSizeFor(memoryBudget: number): number {
  const lent = Math.ceil(Math.floor(memoryBudget / BLOCK_BYTES) / 2) * BLOCK_BYTES
  return Math.min(MAX_OBJECT_BYTES, Math.floor(lent / MIB) * MIB * MAX_PARTS)
}
