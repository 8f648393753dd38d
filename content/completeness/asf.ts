import type { FileView } from '../file-view.ts'
import { lacks } from './lacks.ts'

const HEADER_BYTES = 64 * 1024
/** ASF § 3.2: the object that has the size of the file, and whether it was streamed, in which case it does not count. */
const FILE_PROPERTIES = Buffer.from('a1dcab8c47a9cf118ee400c00c205365', 'hex')
const SIZE_AT = 40
const FLAGS_AT = 88
const IS_BROADCAST = 1

/** WMV and WMA say in their header how long they are. */
export async function shortfallOfAsf(file: FileView): Promise<string | undefined> {
  const header = await file.take(0, Math.min(HEADER_BYTES, file.size))
  const at = header.indexOf(FILE_PROPERTIES)
  if (at < 0 || at + FLAGS_AT + 4 > header.length) return undefined
  if (header.readUInt32LE(at + FLAGS_AT) & IS_BROADCAST) return undefined
  return lacks(Number(header.readBigUInt64LE(at + SIZE_AT)), file.size)
}
