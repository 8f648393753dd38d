import { createHash } from 'node:crypto'
import type { MediaLimits } from '../../content/media-limits.ts'
import { isRemote } from '../tools/tool-runner.ts'
import { asDamage } from './damage.ts'
import { type Decode, decodeForgivingly } from './forgiving-decode.ts'
import { readRange } from './read-range.ts'
import type { StepContext } from './step.ts'

/** Enough for the header of nearly every image. */
const HEADER_BYTES = 1024 * 1024
const GROWTH = 4
const SMALLEST_BOUND_BYTES = 16 * 1024 * 1024
/** Real photographs of 100 megapixels stay below. */
const LARGEST_BOUND_BYTES = 384 * 1024 * 1024
const BYTES_PER_PIXEL = 8

/**
 * Upper bound in bytes for an image within the limits, uncompressed at 16 bits per channel, or of what a worker has
 * memory for. No more is read into it.
 */
export function imageBound({ maxImagePixels }: MediaLimits): number {
  return Math.min(maxImagePixels * BYTES_PER_PIXEL + SMALLEST_BOUND_BYTES, LARGEST_BOUND_BYTES)
}

type Look<Found> = (input: string | Uint8Array) => Promise<Found>

/**
 * Reads an image's header with `look`: from the file, or from growing prefixes of an object until they suffice. Fails
 * with `ContentRejected` when the whole image does not.
 */
export async function lookAtHeader<Found>(context: StepContext, look: Look<Found>): Promise<Found> {
  const { media, objects, limits } = context
  const input = await objects.toolInput(media.storage_key)
  if (!isRemote(input)) return await lookAtFile(context, look, input)
  const bound = Math.min(media.size, imageBound(limits))
  let enough = Math.min(HEADER_BYTES, bound)
  for await (const read of growing(context, bound)) {
    if (read.byteLength < enough) continue
    try {
      return await look(read.bytes())
    } catch (error) {
      if (read.byteLength === bound) throw await damageOfBytes(error, context, read.bytes())
    }
    enough = Math.min(enough * GROWTH, bound)
  }
  throw new Error(`the object ended before ${bound} bytes`)
}

/**
 * Decodes a whole image: the file, or all bytes of an object. Undefined for an object larger than an image within the
 * limits can be. Fails with `ContentRejected` when it is damaged.
 */
export async function decodeWhole<Found>(
  context: StepContext,
  decode: Decode<Found>,
): Promise<Found | undefined> {
  const { media, objects, limits } = context
  const { content_type: contentType, size } = media
  const whole = () => readRange(context, 0, size - 1)
  const input = await objects.toolInput(media.storage_key)
  if (size > imageBound(limits)) return undefined
  if (!isRemote(input)) {
    const decodeFile = (path: string | Uint8Array) =>
      decodeForgivingly(decode, path, { contentType, size, whole })
    return await lookAtFile(context, decodeFile, input)
  }
  const bytes = await whole()
  try {
    return await decodeForgivingly(decode, bytes, { contentType, size, whole: async () => bytes })
  } catch (error) {
    throw await damageOfBytes(error, context, bytes)
  }
}

async function lookAtFile<Found>(context: StepContext, look: Look<Found>, path: string): Promise<Found> {
  try {
    return await look(path)
  } catch (error) {
    throw await asDamage(error, context)
  }
}

/** Growing prefixes of the object, up to `bound`. */
async function* growing({ media, objects, signal }: StepContext, bound: number) {
  const chunks: Uint8Array[] = []
  let byteLength = 0
  if (bound === 0) return
  const source = await objects.read(media.storage_key, {
    range: { start: 0, end: bound - 1 },
    etag: media.etag,
  })
  for await (const chunk of source as AsyncIterable<Uint8Array>) {
    signal.throwIfAborted()
    chunks.push(chunk)
    byteLength += chunk.byteLength
    yield { byteLength, bytes: () => Buffer.concat(chunks) }
  }
}

/** As `asDamage`, for bytes in memory: where they are all of the file, they must be those that were scanned. */
async function damageOfBytes(error: unknown, context: StepContext, bytes: Uint8Array): Promise<unknown> {
  const { media } = context
  const isWhole = bytes.byteLength === media.size
  if (isWhole && createHash('sha256').update(bytes).digest('hex') !== media.sha256) return error
  return await asDamage(error, context)
}

/** Whether libvips knows no such format, or not this variant of it. ffmpeg may. */
export const isUnsupported = (error: unknown): boolean =>
  error instanceof Error &&
  /unsupported image format|compression format has not been built in|is not (?:configured|implemented|supported)/.test(
    error.message,
  )
