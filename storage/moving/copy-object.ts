import { createHash } from 'node:crypto'
import type { ServedAs } from '../../content/served-as.ts'
import type { Objects } from '../store/objects.ts'

export type CopiedObject = {
  from: { objects: Objects; key: string; etag: string | null }
  to: { objects: Objects; key: string }
  size: number
  /** The expected hash; null where it is not known. */
  sha256: string | null
  servedAs: ServedAs
  /** Called with the number of bytes as they pass. */
  onBytes: (bytes: number) => void
}

/** The bytes are not those that the ledger knows: no copy was made. */
export class CopyMismatch extends Error {
  override readonly name = 'CopyMismatch'
}

/**
 * Copies an object from one backend to another, part by part in memory, and reads the copy back. Returns its etag,
 * where it has one. Fails with `CopyMismatch` when the source is not as expected, or the copy differs.
 */
export async function copyObject(
  { from, to, size, sha256, servedAs, onBytes }: CopiedObject,
  signal: AbortSignal,
): Promise<string | null> {
  const source = await from.objects.read(from.key, { etag: from.etag })
  const read = counting(source, signal, onBytes)
  const etag = await to.objects
    .putStream(to.key, { size, chunks: read.chunks }, servedAs, signal)
    .catch((error: unknown) => {
      // The source is shorter or longer than expected.
      if (read.bytes() !== size && read.isOver()) throw mismatch(from.key, read.bytes(), size)
      throw error
    })
    .finally(() => source.destroy())
  if (read.bytes() !== size) throw mismatch(from.key, read.bytes(), size)
  const sent = read.sha256()
  if (sha256 !== null && sent !== sha256)
    throw new CopyMismatch(`its bytes have SHA-256 ${sent} where ${sha256} was received`)
  const stored = counting(await to.objects.read(to.key, { etag }), signal)
  for await (const _ of stored.chunks);
  if (stored.bytes() !== size || stored.sha256() !== sent)
    throw new CopyMismatch('the copy does not have the bytes that were sent')
  return etag
}

const mismatch = (key: string, found: number, size: number) =>
  new CopyMismatch(`${key} has ${found} bytes where ${size} are known`)

/** Counts and hashes what passes. */
function counting(
  source: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
  onBytes: (bytes: number) => void = () => {},
) {
  const hash = createHash('sha256')
  let bytes = 0
  let isOver = false
  async function* pass(): AsyncGenerator<Uint8Array> {
    for await (const chunk of source) {
      signal.throwIfAborted()
      bytes += chunk.byteLength
      hash.update(chunk)
      onBytes(chunk.byteLength)
      yield chunk
    }
    isOver = true
  }
  return { chunks: pass(), bytes: () => bytes, isOver: () => isOver, sha256: () => hash.digest('hex') }
}
