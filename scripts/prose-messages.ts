import { type ESTree, parseSync, Visitor } from 'vite'

/** A text in a source file, and the line it begins in. What a template fills in is `…`. */
export type Literal = { line: number; text: string }

/**
 * Of a TypeScript source: the string and template literals that read as sentences, which have three words or more, and
 * the comments. Templates with a tag are left out, which are SQL.
 */
export function textsOf(source: string): { literals: Literal[]; comments: Literal[] } {
  const { program, comments } = parseSync('source.ts', source)
  const lineAt = (at: number) => source.slice(0, at).split('\n').length
  const literals: Literal[] = []
  const tagged = new Set<unknown>()
  const add = (start: number, text: string) => {
    if (isSentence(text)) literals.push({ line: lineAt(start), text })
  }
  const noteTag = ({ quasi }: ESTree.TaggedTemplateExpression) => void tagged.add(quasi)
  const addTemplate = (template: ESTree.TemplateLiteral) => {
    const texts = template.quasis.map(({ value }) => value.cooked ?? value.raw)
    if (!tagged.has(template)) add(template.start, texts.join('…'))
  }
  const addText = ({ start, value }: { start: number; value: unknown }) => {
    if (typeof value === 'string') add(start, value)
  }
  const visitor = { TaggedTemplateExpression: noteTag, TemplateLiteral: addTemplate, Literal: addText }
  new Visitor(visitor).visit(program)
  return { literals, comments: comments.map(({ start, value }) => ({ line: lineAt(start), text: value })) }
}

/** Three words in a row, one of which only sentences have: neither SQL, nor scripts, nor lists of names do. */
const isSentence = (text: string): boolean =>
  /[A-Za-z…]+[,:;]? [a-z…]+[,:;]? [a-z…]+/.test(text) &&
  /(?<!\w)(?:an?|the|of|to|is|are|was|were|not|no|in|for|be|can|could|with|without|at|has|have)(?!\w)/i.test(
    text,
  ) &&
  !/\$\(|<\//.test(text) &&
  !/^\s*(?:select|insert|update|delete|create|alter|with|set|show)\s/i.test(text)
