/**
 * Reads what users, operators and contributors read, and names what they would stumble over: phrases of
 * `prose-words.ts`, long sentences, packed paragraphs, headings that do not name their subject, doubled words.
 *
 *     node scripts/prose.ts
 *
 * Prints `file:line: text: what to do`, and exits with 1 if there is anything. See docs/decisions/0016-prose-check.md.
 */
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { textsOf } from './prose-messages.ts'
import {
  COMMENT_PHRASES,
  HEADING_OPENERS,
  MAX_WORDS,
  MAX_WORDS_IN_PARAGRAPH,
  PHRASES,
  type Phrase,
} from './prose-words.ts'

const ROOT = join(import.meta.dirname, '..')

const DOCUMENTS = ['*.md', 'docs/**/*.md', 'conformance/*.md']
/** Generated from measurements; and two whose first remarks are still to be answered. */
const LEFT_OUT = ['docs/benchmarks.md']
/** Sources whose texts reach users and operators. */
const SOURCES = [
  'landfall.ts',
  '{commands,content,hooks,jobs,ledger,processing,server,storage,system}/**/*.ts',
]
const TESTS = ['**/*.test.ts', '**/*.suite.ts']

export type Remark = { line: number; text: string; advice: string }

type Kind = 'heading' | 'paragraph' | 'item' | 'cell'
/** A heading, a paragraph, an item of a list or a cell of a table. */
type Block = { kind: Kind; line: number; text: string }

/** What is wrong with a document in Markdown. */
export function remarksOnDocument(markdown: string): Remark[] {
  return blocksOf(markdown).flatMap((block) => {
    const heading =
      block.kind === 'heading' && HEADING_OPENERS.test(block.text)
        ? [remark(block, block.text, 'begin the heading with its subject')]
        : []
    const words = wordsIn(plain(block.text))
    const packed =
      block.kind === 'paragraph' && words > MAX_WORDS_IN_PARAGRAPH
        ? [remark(block, `${words} words in a paragraph`, 'use several paragraphs, a list or a table')]
        : []
    return [...heading, ...packed, ...remarksOnText(block)]
  })
}

/** What is wrong with the messages and comments of a source file. */
export function remarksOnSource(source: string): Remark[] {
  const { literals, comments } = textsOf(source)
  return [
    ...literals.flatMap((literal) => remarksOnText(literal)),
    ...comments.flatMap(({ line, text }) =>
      phrasesIn({ line }, plain(text.replaceAll(/^\s*\*/gm, '')), COMMENT_PHRASES),
    ),
  ]
}

function remarksOnText(block: { line: number; text: string }): Remark[] {
  const text = plain(block.text)
  const found = phrasesIn(block, text, PHRASES)
  for (const match of text.matchAll(/(?<![\w-])([a-z]+)[ \n]\1(?![\w-])/gi)) {
    if (match[1] !== 'that' && match[1] !== 'had')
      found.push(remark(block, match[0], 'remove the doubled word', text.slice(0, match.index)))
  }
  let before = ''
  for (const sentence of text.split(/(?<=[.!?])(?=\s+["“(]?[\p{Lu}`…])/u)) {
    const words = wordsIn(sentence)
    if (words > MAX_WORDS) {
      const begins = before + (/^\s*/.exec(sentence)?.[0] ?? '')
      found.push(remark(block, `${words} words in a sentence`, `use at most ${MAX_WORDS}`, begins))
    }
    before += sentence
  }
  return found
}

function phrasesIn(block: { line: number }, text: string, phrases: readonly Phrase[]): Remark[] {
  return phrases.flatMap(([phrase, instead]) =>
    [...text.matchAll(phrase)].map((match) =>
      remark(block, match[0], `write "${instead}"`, text.slice(0, match.index)),
    ),
  )
}

/** `before` is the text in front of the fault. */
function remark(block: { line: number }, text: string, advice: string, before = ''): Remark {
  return {
    line: block.line + before.split('\n').length - 1,
    text: text.replaceAll(/\s+/g, ' ').trim(),
    advice,
  }
}

/** Text as it is read: code spans and addresses count as a word, and nothing in them is prose. Lines stay lines. */
const plain = (text: string): string =>
  text
    .replaceAll(/`[^`]*`/g, (code) => `…${code.replaceAll(/[^\n]/g, '')}`)
    .replaceAll(/\]\([^)]*\)/g, ']')
    .replaceAll(/https?:\S+/g, '…')
    .replaceAll(/\*\*/g, '')

const wordsIn = (text: string): number => text.match(/[\p{L}\p{N}…][\p{L}\p{N}’'…/-]*/gu)?.length ?? 0

function blocksOf(markdown: string): Block[] {
  const blocks: Block[] = []
  let isCode = false
  let open: Block | undefined
  markdown.split('\n').forEach((text, index) => {
    const line = index + 1
    const isFence = /^\s*```/.test(text)
    if (isFence) isCode = !isCode
    if (isFence || isCode || text.trim() === '') {
      open = undefined
      return
    }
    const [, , heading] = /^(#+)\s+(.*)$/.exec(text) ?? []
    const [, item] = /^\s*(?:[-*]|\d+\.)\s+(.*)$/.exec(text) ?? []
    if (heading !== undefined) {
      blocks.push({ kind: 'heading', line, text: heading })
      open = undefined
    } else if (/^\s*\|/.test(text)) {
      for (const cell of text.split(/(?<!\\)\|/)) blocks.push({ kind: 'cell', line, text: cell })
      open = undefined
    } else if (item !== undefined || open === undefined) {
      open = { kind: item === undefined ? 'paragraph' : 'item', line, text: item ?? text }
      blocks.push(open)
    } else {
      open.text += `\n${text}`
    }
  })
  return blocks
}

/** Every remark on the files below `root`, as `file:line: text: advice`. */
export function checkRepository(root = ROOT): string[] {
  const check = (names: readonly string[], exclude: readonly string[], look: (text: string) => Remark[]) =>
    globSync(names, { cwd: root, exclude })
      .toSorted()
      .flatMap((name) =>
        look(readFileSync(join(root, name), 'utf8')).map(
          ({ line, text, advice }) => `${name}:${line}: ${text}: ${advice}`,
        ),
      )
  return [...check(DOCUMENTS, LEFT_OUT, remarksOnDocument), ...check(SOURCES, TESTS, remarksOnSource)]
}

if (import.meta.main) {
  const remarks = checkRepository()
  for (const one of remarks) process.stdout.write(`${one}\n`)
  if (remarks.length > 0) process.exitCode = 1
}
