import { ScriptLexer } from './script-lexer.ts'

/** How far readers of PDF search for its header. */
const PDF_HEAD_BYTES = 1024
/** A match across two chunks begins at most this far before the second. */
const OVERLAP_BYTES = 512

/** A header, also of the older kind: readers ignore what follows `%PDF`. */
const PDF_HEADER = /%PDF|%!PS-Adobe-\d\.\d PDF-/
/**
 * The numbers of an object, with white space or comments between, before a keyword. Random bytes after a header do not
 * contain that.
 */
const PDF_OBJECT =
  /(?<=\d(?:[\0\t\n\f\r ]|%[^\r\n]{0,100}[\r\n]){1,8}\d{1,10}(?:[\0\t\n\f\r ]|%[^\r\n]{0,100}[\r\n]){1,8})obj(?=[^A-Za-z])/y
const PDF_DICTIONARY = /(?:obj|trailer)[\0\t\n\f\r ]{0,16}<</y

const PHAR_STUB = Buffer.from('__HALT_COMPILER();')
const PHAR_STUB_END = /^[ \n]?(?:\?>)?(?:\r?\n)?/
const PHAR_MANIFEST_BYTES = 10
/** The limit of PHP for a manifest. */
const PHAR_MAX_MANIFEST_BYTES = 100 * 1024 * 1024
const PHAR_FIRST_VERSION = 0x1000

/** Archives whose programs search for their first bytes after those of another program, so anywhere. */
const ARCHIVES: readonly [what: string, signature: Buffer][] = [
  ['a RAR archive', Buffer.from('Rar!\x1a\x07\x00', 'latin1')],
  ['a RAR archive', Buffer.from('Rar!\x1a\x07\x01\x00', 'latin1')],
  ['a 7z archive', Buffer.from('7z\xbc\xaf\x27\x1c\x00', 'latin1')],
]

/**
 * Searches a file, as it is read by the scan step from its first byte to its last, for formats that programs find
 * anywhere in a file. Reads nothing itself and keeps at most a chunk (rules 1 and 2 of "Polyglot files" in
 * docs/api.md).
 */
export class ContentSearch {
  readonly #script = new ScriptLexer()
  #carry: Buffer = Buffer.alloc(0)
  #head = ''
  #hasPdfHeader = false
  #found: string | undefined

  /** The next bytes. */
  readonly add = (chunk: Uint8Array): void => {
    if (this.#found !== undefined || chunk.byteLength === 0) return
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    const together = Buffer.concat([this.#carry, bytes])
    this.#carry = Buffer.from(together.subarray(-OVERLAP_BYTES))
    this.#found =
      (!this.#script.isOver && this.#script.read(bytes.toString('latin1')) ? 'a script' : undefined) ??
      this.#pdfIn(bytes, together) ??
      phpArchiveIn(together) ??
      ARCHIVES.find(([, signature]) => together.includes(signature))?.[0]
  }

  /** The other format of the file, as far as its bytes so far show. */
  get found(): string | undefined {
    return this.#found
  }

  /** The other format of the file, after its last byte. */
  end(): string | undefined {
    if (this.#script.read('', true)) this.#found ??= 'a script'
    return this.#found
  }

  #pdfIn(bytes: Buffer, together: Buffer): string | undefined {
    const lacks = PDF_HEAD_BYTES + 32 - this.#head.length
    if (lacks > 0) {
      this.#head += bytes.toString('latin1', 0, lacks)
      const at = this.#head.search(PDF_HEADER)
      this.#hasPdfHeader ||= at >= 0 && at < PDF_HEAD_BYTES
    }
    if (!this.#hasPdfHeader) return undefined
    return isPdfBody(together.toString('latin1')) ? 'a PDF' : undefined
  }
}

/** Parts of a PDF: an object, its end, or the cross-reference table. */
function isPdfBody(text: string): boolean {
  if (text.includes('endobj') || text.includes('startxref')) return true
  return (
    wordsIn(text, 'obj').some((at) => isAt(PDF_OBJECT, text, at) || isAt(PDF_DICTIONARY, text, at)) ||
    wordsIn(text, 'trailer').some((at) => isAt(PDF_DICTIONARY, text, at))
  )
}

function wordsIn(text: string, word: string): number[] {
  const found: number[] = []
  for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + 1)) found.push(at)
  return found
}

function isAt(pattern: RegExp, text: string, at: number): boolean {
  pattern.lastIndex = at
  return pattern.test(text)
}

/** The stub of a PHP archive, followed by a manifest: length, number of files, version. */
function phpArchiveIn(bytes: Buffer): string | undefined {
  for (let at = bytes.indexOf(PHAR_STUB); at >= 0; at = bytes.indexOf(PHAR_STUB, at + 1)) {
    const behind = at + PHAR_STUB.length
    const start = behind + (PHAR_STUB_END.exec(bytes.toString('latin1', behind, behind + 5))?.[0].length ?? 0)
    if (start + PHAR_MANIFEST_BYTES > bytes.length) continue
    const [length, files, version] = [
      bytes.readUInt32LE(start),
      bytes.readUInt32LE(start + 4),
      bytes.readUInt16BE(start + 8),
    ]
    const isManifest = length >= PHAR_MANIFEST_BYTES && length <= PHAR_MAX_MANIFEST_BYTES
    if (isManifest && files > 0 && files <= length && version >= PHAR_FIRST_VERSION) return 'a PHP archive'
  }
  return undefined
}
