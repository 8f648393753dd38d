/** In a comment, a string, a template or a regular expression any bytes may follow, up to its end. */
type Place = 'code' | 'comment' | 'line' | 'regex' | "'" | '"' | '`'

/**
 * This much code from the first byte on is no accident: names, sizes and types at the beginning of a format are
 * shorter, and a byte that is not allowed in scripts follows them.
 */
const CODE_FROM_START = 20
/** The same after a comment, which takes two bytes to open and two to end. */
const CODE_BEHIND_COMMENT = 6
/** The opening of a literal or a line comment may be one byte of a size, followed by text: only the end decides. */
const CODE_BEHIND_TEXT = Number.POSITIVE_INFINITY

const OPENER = /^(?:\/\*|\/\/|<!--|-->)/
/** Latin-1 characters of identifiers: in that charset even the first bytes of a JPEG are a name. */
const isNameCode = (code: number) =>
  (code >= 0xc0 && code !== 0xd7 && code !== 0xf7) || code === 0xaa || code === 0xb5 || code === 0xba
const isAscii = (code: number) => (code >= 0x20 && code < 0x7f) || (code >= 0x09 && code <= 0x0d)
const isBreak = (char: string | undefined) => char === '\n' || char === '\r'
/** After these a slash divides; elsewhere it opens a regular expression. */
const OPERAND_END = /[\w$\])\xaa\xb5\xba\xc0-\xff]/

/**
 * Reads a file like a JavaScript engine, from its first byte on. It is a script when everything outside of comments and
 * literals is code, to its end or for longer than chance allows. Files of our formats are excluded within a few bytes,
 * by a control character or another byte that scripts cannot contain.
 */
export class ScriptLexer {
  #place: Place = 'code'
  /** Length of the code so far. */
  #codeChars = 0
  #threshold = CODE_FROM_START
  #lastOfCode = ''
  /** Names alone are text, without effect. */
  #doesSomething = false
  #isEscaped = false
  #isInClass = false
  #isOver = false
  #isScript = false
  #carry = ''

  /** Whether further bytes change nothing. */
  get isOver(): boolean {
    return this.#isOver
  }

  /** Whether it is a script; `end` after the last chunk. */
  read(chunk: string, end = false): boolean {
    if (this.#isOver) return this.#isScript
    const text = this.#carry + chunk
    // An opener of four characters may be split between two chunks.
    const stop = end ? text.length : Math.max(0, text.length - 3)
    let at = 0
    while (at < stop && !this.#isOver)
      at = this.#place === 'code' ? this.#code(text, at) : this.#skip(text, at, stop)
    this.#carry = text.slice(at)
    if (end && !this.#isOver) {
      this.#isOver = true
      // An unclosed literal is an error.
      this.#isScript = this.#doesSomething && (this.#place === 'code' || this.#place === 'line')
    }
    return this.#isScript
  }

  /** Reads a character of code, or enters the literal or comment that it opens. */
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

  /** The position after the end of the literal or comment, or the end of the text. */
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
