/** Code in a comment, a string, a template or a regular expression may be any bytes, up to what ends it. */
type Place = 'code' | 'comment' | 'line' | 'regex' | "'" | '"' | '`'

/**
 * So much code from the first byte on is no accident: the printable names, sizes and types that a format begins with
 * are fewer characters, and a byte that no script may hold follows them.
 */
const CODE_FROM_START = 20
/** Likewise behind a comment, which takes two bytes in a row to open and two to end. */
const CODE_BEHIND_COMMENT = 6
/** What opens a literal, or a comment of a line, may be one byte of a size, and text may follow: only the end decides. */
const CODE_BEHIND_TEXT = Number.POSITIVE_INFINITY

const OPENER = /^(?:\/\*|\/\/|<!--|-->)/
/** What identifiers may hold, of Latin-1: as a script in that charset even the first bytes of a JPEG are a name. */
const isNameCode = (code: number) =>
  (code >= 0xc0 && code !== 0xd7 && code !== 0xf7) || code === 0xaa || code === 0xb5 || code === 0xba
const isAscii = (code: number) => (code >= 0x20 && code < 0x7f) || (code >= 0x09 && code <= 0x0d)
const isBreak = (char: string | undefined) => char === '\n' || char === '\r'
/** Behind these a slash divides; elsewhere it opens a regular expression. */
const OPERAND_END = /[\w$\])\xaa\xb5\xba\xc0-\xff]/

/**
 * Reads a file as a JavaScript engine would, from its first byte on. It is a script when everything outside of comments
 * and literals is characters of code, to its end or for so long that chance is out of the question. A file of our formats
 * is out of it within its first few bytes: a control character or another byte that stands in no script.
 */
export class ScriptLexer {
  #place: Place = 'code'
  /** Of the code that has been read without a break. */
  #codeChars = 0
  #threshold = CODE_FROM_START
  #lastOfCode = ''
  /** Names alone are text, and do nothing. */
  #doesSomething = false
  #isEscaped = false
  #isInClass = false
  #isOver = false
  #isScript = false
  #carry = ''

  /** Whether more bytes change anything. */
  get isOver(): boolean {
    return this.#isOver
  }

  /** Whether that is a script; `end` where no more follow. */
  read(chunk: string, end = false): boolean {
    if (this.#isOver) return this.#isScript
    const text = this.#carry + chunk
    // An opener of four characters may lie across two chunks.
    const stop = end ? text.length : Math.max(0, text.length - 3)
    let at = 0
    while (at < stop && !this.#isOver)
      at = this.#place === 'code' ? this.#code(text, at) : this.#skip(text, at, stop)
    this.#carry = text.slice(at)
    if (end && !this.#isOver) {
      this.#isOver = true
      // What is not closed is an error.
      this.#isScript = this.#doesSomething && (this.#place === 'code' || this.#place === 'line')
    }
    return this.#isScript
  }

  /** Takes a character of code, or enters what it opens. */
  #code(text: string, at: number): number {
    const char = text.charAt(at)
    const opener =
      char === '/' || char === '<' || char === '-' ? (OPENER.exec(text.slice(at, at + 4))?.[0] ?? '') : ''
    if (opener !== '') return this.#enter(opener === '/*' ? 'comment' : 'line', at, opener.length)
    if (char === "'" || char === '"' || char === '`') return this.#enter(char, at, 1)
    if (char === '/' && !OPERAND_END.test(this.#lastOfCode)) return this.#enter('regex', at, 1)
    const code = text.charCodeAt(at)
    this.#doesSomething ||= char === '=' || char === '('
    if (isAscii(code)) this.#count(1)
    else if (isNameCode(code) || code === 0xa0) this.#codeChars = 0
    else this.#isOver = true
    if (!/\s/.test(char)) this.#lastOfCode = char
    return at + 1
  }

  #count(chars: number): void {
    this.#codeChars += chars
    if (this.#codeChars < this.#threshold || !this.#doesSomething) return
    this.#isOver = true
    this.#isScript = true
  }

  #enter(place: Exclude<Place, 'code'>, at: number, chars: number): number {
    this.#doesSomething ||= place === '`'
    this.#count(chars)
    this.#place = place
    this.#isInClass = false
    return at + chars
  }

  /** Behind what ends the place, or at the end of the text. */
  #skip(text: string, at: number, stop: number): number {
    if (this.#place === 'comment') {
      const found = text.indexOf('*/', at)
      return found < 0 || found >= stop ? stop : this.#leave(found + 2, CODE_BEHIND_COMMENT)
    }
    for (let i = at; i < stop; i++) {
      const char = text.charAt(i)
      if (this.#place === 'line') {
        if (isBreak(char)) return this.#leave(i + 1, CODE_BEHIND_TEXT)
      } else if (this.#isEscaped) this.#isEscaped = false
      else if (char === '\\') this.#isEscaped = true
      else if (isBreak(char) && this.#place !== '`') return this.#fail(stop)
      else if (this.#place === 'regex') {
        if (char === '[') this.#isInClass = true
        else if (char === ']') this.#isInClass = false
        else if (char === '/' && !this.#isInClass) return this.#leave(i + 1, CODE_BEHIND_TEXT)
      } else if (char === this.#place) return this.#leave(i + 1, CODE_BEHIND_TEXT)
    }
    return stop
  }

  #leave(at: number, threshold: number): number {
    this.#lastOfCode = this.#place === 'comment' || this.#place === 'line' ? this.#lastOfCode : ')'
    this.#place = 'code'
    this.#codeChars = 0
    this.#threshold = Math.max(threshold, this.#threshold === CODE_FROM_START ? 0 : this.#threshold)
    return at
  }

  #fail(at: number): number {
    this.#isOver = true
    return at
  }
}
