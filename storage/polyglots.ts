/** Reads bytes `[start, end]` of a file, both inclusive. */
export type ReadRange = (start: number, end: number) => Promise<Buffer>

const HEAD_BYTES = 64 * 1024
/** An end record and the longest comment behind it. */
const TAIL_BYTES = 22 + 65_535
/** Where readers of PDF look for its header. */
const PDF_HEAD_BYTES = 1024
/** What a GIF has between its version and its first block. */
const GIF_SCREEN_END = 13

/**
 * What a picture, a sound or a video is besides: a program that looks for a zip archive (also a jar, an office
 * document), a PDF, a web page or a script would find one in it. Undefined when it is nothing else. Looks at the
 * first and the last 64 KiB, which is where such programs look, and at the directory of an archive.
 */
export async function alsoIs(size: number, read: ReadRange): Promise<string | undefined> {
  const isShort = size <= HEAD_BYTES + TAIL_BYTES
  const head = await read(0, (isShort ? size : HEAD_BYTES) - 1)
  const tail = isShort ? head.subarray(-TAIL_BYTES) : await read(size - TAIL_BYTES, size - 1)
  return scriptIn(head) ?? pdfIn(head, tail) ?? textIn(head, tail) ?? (await zipIn(tail, size, read))
}

/** A header that begins a statement of JavaScript: its binary fields read as a comment or an assignment. */
function scriptIn(head: Buffer): string | undefined {
  const start = head.toString('latin1', 0, 32)
  const rest = head.toString('latin1')
  const screen = start.slice(6, GIF_SCREEN_END)
  const isGifScript = /^GIF8[79]a(\/\*|=)/.test(start) && /^[\t\n\r -~]+$/.test(screen)
  const isCommentedGif = /^GIF8[79]a\/\*/.test(start) && /\*\/\s*=/.test(rest)
  // The length of the first segment is the beginning of a comment.
  const isCommentedJpeg = /^\xff\xd8\xff[\xe0-\xef]\/\*/.test(start) && /\*\/\s*=/.test(rest)
  return isGifScript || isCommentedGif || isCommentedJpeg ? 'a script' : undefined
}

function pdfIn(head: Buffer, tail: Buffer): string | undefined {
  const isPdf =
    /%PDF-\d\.\d/.test(head.toString('latin1', 0, PDF_HEAD_BYTES)) ||
    /startxref\s+\d+\s+%%EOF/.test(tail.toString('latin1'))
  return isPdf ? 'a PDF' : undefined
}

/**
 * Markup and code that no tag of a photograph, a sound or a film has: what XMP holds of it is escaped, and what
 * podcasts say of themselves are paragraphs and links. In compressed data they do not come about by chance.
 */
function textIn(head: Buffer, tail: Buffer): string | undefined {
  const [first, last] = [head.toString('latin1'), tail.toString('latin1')]
  if (PHP.test(first) || PHP.test(last)) return 'a PHP script'
  if (SCRIPT.test(first) || SCRIPT.test(last) || PAGE.test(last)) return 'a web page'
  return undefined
}

const PHP = /<\?php\s/i
const SCRIPT = /<script[\s>/]/i
const PAGE = /<!doctype\s+html|<html[\s>]|<iframe[\s>]/i

const END_RECORD = Buffer.from('PK\x05\x06', 'latin1')
const ENTRY = Buffer.from('PK\x01\x02', 'latin1')
const LOCATOR_64 = Buffer.from('PK\x06\x07', 'latin1')
const END_RECORD_BYTES = 22
const LOCATOR_64_BYTES = 20
const IN_ZIP64 = 0xffffffff

function* endRecords(tail: Buffer): Iterable<number> {
  for (let at = tail.indexOf(END_RECORD); at >= 0; at = tail.indexOf(END_RECORD, at + 1)) yield at
}

/** The end record of an archive, and right before it the directory of which it tells. */
async function zipIn(tail: Buffer, size: number, read: ReadRange): Promise<string | undefined> {
  const tailStart = size - tail.length
  for (const at of endRecords(tail)) {
    if (at + END_RECORD_BYTES > tail.length) continue
    const directoryBytes = tail.readUInt32LE(at + 12)
    const locator = tail.subarray(Math.max(0, at - LOCATOR_64_BYTES), at)
    if (directoryBytes === IN_ZIP64 || tail.readUInt32LE(at + 16) === IN_ZIP64) {
      if (locator.subarray(0, 4).equals(LOCATOR_64)) return 'a zip archive'
      continue
    }
    const directory = tailStart + at - directoryBytes
    if (directoryBytes < ENTRY.length || directory < 0) continue
    const entry =
      directory >= tailStart
        ? tail.subarray(directory - tailStart, directory - tailStart + ENTRY.length)
        : await read(directory, directory + ENTRY.length - 1)
    if (entry.equals(ENTRY)) return 'a zip archive'
  }
  return undefined
}
