/** A text in a source file, and the line it begins in. What a template fills in is `…`. */
export type Literal = { line: number; text: string }

/** What stands before a regular expression, and not before a division. */
const BEFORE_REGEX = /(?:^|[=(,:[!&|?{};>+]|\breturn|\bcase)\s*$/

/**
 * The string and template literals of a TypeScript source that read as sentences: three words or more. Comments and
 * regular expressions are skipped, and so are templates with a tag, which are SQL.
 */
export const literalsOf = (source: string): Literal[] => textsOf(source).literals

/** Comments of a TypeScript source. */
export const commentsOf = (source: string): Literal[] => textsOf(source).comments

function textsOf(source: string): { literals: Literal[]; comments: Literal[] } {
  const found: Literal[] = []
  const comments: Literal[] = []
  let line = 1
  let at = 0

  const step = (): string => {
    const char = source[at] ?? ''
    at += 1
    if (char === '\n') line += 1
    return char
  }
  const skipPast = (end: string): void => {
    while (at < source.length && !source.startsWith(end, at)) step()
    for (const _ of end) step()
  }
  const comment = (end: string): void => {
    const begins = { line, at }
    skipPast(end)
    comments.push({ line: begins.line, text: source.slice(begins.at, at) })
  }
  const skipRegex = (): void => {
    let isInClass = false
    step()
    while (at < source.length && source[at] !== '\n') {
      const char = step()
      if (char === '\\') step()
      else if (char === '[') isInClass = true
      else if (char === ']') isInClass = false
      else if (char === '/' && !isInClass) return
    }
  }
  const literal = (isTagged: boolean): void => {
    const begins = line
    const quote = step()
    let text = ''
    while (at < source.length && source[at] !== quote) {
      if (quote === '`' && source.startsWith('${', at)) {
        at += 2
        code('}')
        text += '…'
      } else {
        const char = step()
        const escaped = char === '\\' ? step() : undefined
        text += escaped === undefined ? char : escaped === 'n' ? '\n' : escaped
      }
    }
    step()
    if (!isTagged && isSentence(text)) found.push({ line: begins, text })
  }
  /** Goes through code up to `end` outside of literals and braces; to the end of the source without it. */
  const code = (end?: '}'): void => {
    let depth = 0
    while (at < source.length) {
      const char = source[at] ?? ''
      const before = source.slice(Math.max(0, at - 20), at)
      if (source.startsWith('//', at)) comment('\n')
      else if (source.startsWith('/*', at)) comment('*/')
      else if (char === '/' && BEFORE_REGEX.test(before)) skipRegex()
      else if (char === "'" || char === '"') literal(false)
      else if (char === '`') literal(/[\w>)]$/.test(before))
      else {
        if (char === '{') depth += 1
        if (char === '}' && depth-- === 0 && end !== undefined) return void step()
        step()
      }
    }
  }
  code()
  return { literals: found, comments }
}

/** Three words in a row, one of which only sentences have: neither SQL, nor scripts, nor lists of names do. */
const isSentence = (text: string): boolean =>
  /[A-Za-z…]+[,:;]? [a-z…]+[,:;]? [a-z…]+/.test(text) &&
  /(?<!\w)(?:an?|the|of|to|is|are|was|were|not|no|in|for|be|can|could|with|without|at|has|have)(?!\w)/i.test(
    text,
  ) &&
  !/\$\(|<\//.test(text) &&
  !/^\s*(?:select|insert|update|delete|create|alter|with|set|show)\s/i.test(text)
