import { type FileView, type Stray, StructureUnreadable } from '../file-view.ts'

const EBML = 0x1a45dfa3
const SEGMENT = 0x18538067
const CLUSTER = 0x1f43b675
const KNOWN = new Set([
  ...[0x114d9b74, 0x1549a966, 0x1654ae6b, 0x1c53bb6b],
  ...[0x1043a770, 0x1254c367, 0x1941a469, 0xbf],
])
const LONGEST_HEADER = 12

/** `bytes` is undefined where the size is unknown. */
type Element = { id: number; headerBytes: number; bytes: number | undefined }

/**
 * Padding (`Void`) and unknown elements before the first cluster, and what follows the segment. The end of a live
 * recording is not known.
 */
export async function* strayInMatroska(file: FileView): AsyncIterable<Stray> {
  const head = await elementAt(file, 0)
  if (head?.id !== EBML || head.bytes === undefined) throw new StructureUnreadable('has no header')
  let at = head.headerBytes + head.bytes
  const segment = await elementAt(file, at)
  if (segment?.id !== SEGMENT) return yield { start: at, end: file.size }
  const end = segment.bytes === undefined ? undefined : at + segment.headerBytes + segment.bytes
  at += segment.headerBytes
  while (at < Math.min(end ?? file.size, file.size)) {
    const element = await elementAt(file, at)
    if (element?.id === CLUSTER || !element || element.bytes === undefined) break
    const next = at + element.headerBytes + element.bytes
    if (!KNOWN.has(element.id)) yield { start: at, end: Math.min(next, file.size) }
    at = next
  }
  if (end === undefined) throw new StructureUnreadable('says no size')
  if (end < file.size) yield { start: end, end: file.size }
}

/** RFC 8794 § 4 and 5. */
async function elementAt(file: FileView, at: number): Promise<Element | undefined> {
  const bytes = await file.take(at, LONGEST_HEADER)
  const idBytes = Math.clz32(bytes[0] ?? 0) - 23
  const sizeBytes = Math.clz32(bytes[idBytes] ?? 0) - 23
  if (idBytes > 4 || sizeBytes > 8 || bytes.length < idBytes + sizeBytes) return undefined
  const field = bytes.subarray(idBytes, idBytes + sizeBytes)
  const value = BigInt(`0x${field.toString('hex')}`) & ((1n << BigInt(7 * sizeBytes)) - 1n)
  const isUnknown = value === (1n << BigInt(7 * sizeBytes)) - 1n
  return {
    id: bytes.readUIntBE(0, idBytes),
    headerBytes: idBytes + sizeBytes,
    bytes: isUnknown ? undefined : Number(value),
  }
}
