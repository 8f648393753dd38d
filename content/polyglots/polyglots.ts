import { FileView, type ReadRange, type Stray } from '../file-view.ts'
import type { Format } from '../formats.ts'
import { strayBytes } from './stray-bytes.ts'

const HEAD_BYTES = 64 * 1024
/** The end of a zip archive: the ZIP64 locator, the end record, and the longest comment. */
const TAIL_BYTES = 20 + 22 + 65_535
/** How many stray bytes are searched for code: more than a video that a phone appends to a picture. */
const MAX_SEARCHED_BYTES = 64 * 1024 * 1024
/** Code across the edge of two windows begins at most this far before it. */
const OVERLAP_BYTES = 4 * 1024

/**
 * What a picture, a sound or a video is besides; undefined when it is nothing else. The rule is what a browser or an
 * interpreter does with the bytes as they are served: with the type of the format and `nosniff`, never as a page or a
 * script, and never by a server that runs media files as programs. A file is something else as well when
 *
 * 1. a program that finds its format by searching a file finds it there: the directory at the end of a zip archive
 *    (also a jar or an office document), the manifest of a PHP archive, the header of a PDF with an object;
 * 2. it reads as JavaScript from its first byte on;
 * 3. code stands where the format has no use for it: in padding, in pieces of unknown kinds, behind the end. Code is
 *    what PHP, ASP, JSP and server-side includes run, and markup that runs scripts.
 *
 * Words in declared text (a title, a comment, EXIF, XMP, subtitles) and in media data make nothing of a file: a lecture
 * may be about `<script>`. What may stand anywhere is found by `ContentSearch` instead, while the file is read whole. See "Polyglot files" in docs/api.md.
 */
export async function findPolyglot(
  size: number,
  read: ReadRange,
  format: Format,
): Promise<string | undefined> {
  const isShort = size <= HEAD_BYTES + TAIL_BYTES
  const head = await read(0, (isShort ? size : HEAD_BYTES) - 1)
  const tail = isShort ? head.subarray(-TAIL_BYTES) : await read(size - TAIL_BYTES, size - 1)
  const file = new FileView(size, read, [
    { start: 0, bytes: head },
    { start: size - tail.length, bytes: tail },
  ])
  return (
    (isTar(head) ? 'a tar archive' : undefined) ??
    (await zipIn(tail, size, read)) ??
    (await codeInStray(format, file))
  )
}

const TAR_BLOCK_BYTES = 512
const TAR_CHECKSUM = { start: 148, end: 156 }

/** The first block of a tar archive contains its checksum, and begins with a file name: any bytes. */
function isTar(head: Buffer): boolean {
  if (head.length < TAR_BLOCK_BYTES) return false
  const { start, end } = TAR_CHECKSUM
  const [, digits] = /^ *([0-7]{3,8})/.exec(head.toString('latin1', start, end)) ?? []
  if (digits === undefined) return false
  const sum = head.subarray(0, TAR_BLOCK_BYTES).reduce((total, byte) => total + byte, 0)
  const own = head.subarray(start, end).reduce((total, byte) => total + byte, 0)
  return Number.parseInt(digits, 8) === sum - own + 0x20 * (end - start)
}

async function codeInStray(format: Format, file: FileView): Promise<string | undefined> {
  let left = MAX_SEARCHED_BYTES
  for await (const stray of strayBytes(format, file)) {
    const found = await codeWithin(file, { start: stray.start, end: Math.min(stray.end, stray.start + left) })
    if (found !== undefined) return found
    left -= stray.end - stray.start
    if (left <= 0) return undefined
  }
  return undefined
}

async function codeWithin(file: FileView, { start, end }: Stray): Promise<string | undefined> {
  for (let at = start; at < end; ) {
    const bytes = (await file.take(at, OVERLAP_BYTES, end - at)).subarray(0, end - at)
    if (bytes.length === 0) return undefined
    const found = codeIn(bytes.toString('latin1'))
    if (found !== undefined) return found
    const isLast = at + bytes.length >= end || bytes.length <= OVERLAP_BYTES
    at += isLast ? bytes.length : bytes.length - OVERLAP_BYTES
  }
  return undefined
}

/**
 * Each is long enough not to occur by chance: less than once in fifty gigabytes of noise. An opening of two or three
 * bytes therefore counts only with further text of code.
 */
const CODE: readonly [what: string, pattern: RegExp][] = [
  ['a PHP script', /<\?php(?:\s|$)/i],
  ['a PHP script', /<\?[=\t\r\n ](?:[\t\r\n -~]{16}|[\t\r\n -~]{1,15}\?>)/],
  // A short statement that does something: it calls, runs or reads input.
  ['a PHP script', /<\?[=\t\r\n ](?=[^;]{0,15}[(`$])[\t\r\n -~]{3,15}(?:;|$)/],
  ['a server page', /<%[@=!\t\r\n ](?:[\t\r\n -~]{16}|[\t\r\n -~]{1,15}%>)/],
  ['a server page', /<jsp:[a-z]{4}|<!--#(?:exec|include)\s/i],
  [
    'a web page',
    /<(?:script|iframe|object|embed|html|head|body|svg|math|form|meta|base|link|style|template|img|video|audio)[\s>/]/i,
  ],
  ['a web page', /<!doctype\s+html/i],
  ['a web page', /<[a-z][a-z0-9:-]{0,40}[\s/"'](?:[^<\0]{0,1000}?[\s/"'])??on[a-z]{3,24}\s{0,20}=/i],
  ['a web page', /<a\s[^<\0]{0,1000}?href\s{0,20}=\s{0,20}["']?\s{0,20}(?:javascript|data|vbscript):/i],
]

/** Code in stray text, which may be run. */
const codeIn = (text: string): string | undefined => CODE.find(([, pattern]) => pattern.test(text))?.[0]

const END_RECORD = Buffer.from('PK\x05\x06', 'latin1')
const ENTRY = Buffer.from('PK\x01\x02', 'latin1')
const LOCATOR_64 = Buffer.from('PK\x06\x07', 'latin1')
const END_RECORD_BYTES = 22
const LOCATOR_64_BYTES = 20
/** More end records that lead nowhere do not occur by chance. Each may cost a request to the storage. */
const MAX_END_RECORDS = 64

function* endRecords(tail: Buffer): Iterable<number> {
  for (let at = tail.indexOf(END_RECORD); at >= 0; at = tail.indexOf(END_RECORD, at + 1)) {
    if (at + END_RECORD_BYTES <= tail.length) yield at
  }
}

/**
 * The end record of an archive, with a directory where readers look for it: right before the record, or at its offset.
 * Readers prefer a ZIP64 locator before the record.
 */
async function zipIn(tail: Buffer, size: number, read: ReadRange): Promise<string | undefined> {
  const tailStart = size - tail.length
  const isEntry = async (at: number) => {
    if (at < 0 || at + ENTRY.length > size) return false
    const bytes =
      at >= tailStart
        ? tail.subarray(at - tailStart, at - tailStart + ENTRY.length)
        : await read(at, at + ENTRY.length - 1)
    return bytes.equals(ENTRY)
  }
  let count = 0
  for (const at of endRecords(tail)) {
    const locator = tail.subarray(Math.max(0, at - LOCATOR_64_BYTES), at)
    if (locator.length === LOCATOR_64_BYTES && locator.subarray(0, 4).equals(LOCATOR_64))
      return 'a zip archive'
    const directory = tailStart + at - tail.readUInt32LE(at + 12)
    if ((await isEntry(directory)) || (await isEntry(tail.readUInt32LE(at + 16)))) return 'a zip archive'
    count += 1
    if (count > MAX_END_RECORDS) return 'a zip archive'
  }
  return undefined
}
