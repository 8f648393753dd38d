import { mkdtempSync, rmSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { checkRepository, remarksOnDocument, remarksOnSource } from './prose.ts'

/** What fills in a template, in the source of one. */
const filled = (code: string): string => `$\{${code}}`

const words = (count: number) => Array.from({ length: count }, (_, index) => `word${index}`).join(' ')

describe('a document', () => {
  it.each<[what: string, markdown: string, line: number, text: string, advice: RegExp]>([
    [
      'a phrase that readers stumble over',
      'One.\n\nclamd talks nonsense.',
      3,
      'talks nonsense',
      /unexpected reply/,
    ],
    ['a phrase over the end of a line', 'The last\nof a\nmedia is read.', 2, 'a media', /a media item/],
    [
      'a phrase at the beginning of a sentence',
      'All of it.\nA media was deleted.',
      2,
      'A media',
      /a media item/,
    ],
    ['a phrase in a table', '| a | b |\n|---|---|\n| x | It is away. |', 3, 'is away', /unavailable/],
    ['a phrase in a list', '- One\n- One is ended for\n  good.', 2, 'for good', /permanently/],
    ['a heading without its subject', 'One.\n\n## What time ends', 3, 'What time ends', /subject/],
    ['a long sentence', `Short.\nThe ${words(45)}.`, 2, '46 words in a sentence', /at most 45/],
    [
      'a packed paragraph',
      `${words(40)}.\n`.repeat(4),
      1,
      '… words in a paragraph'.replace('…', '160'),
      /list/,
    ],
    ['a doubled word', 'One.\nThis is the\nthe end.', 2, 'the the', /doubled/],
  ])('is told of %s', (_what, markdown, line, text, advice) => {
    expect(remarksOnDocument(markdown)).toContainEqual({ line, text, advice: expect.stringMatching(advice) })
  })

  it.each([
    [
      'the plural of a media item',
      'Media are listed. A media item has an id, a media type and a media fragment.',
    ],
    ['what stands in code', 'Run `a media` and `the the`.\n\n```sh\necho a media talks nonsense\n```'],
    ['a sentence of the most words', `${words(45)}.`],
    ['a list, however long it is', `- ${words(40)}.\n`.repeat(5)],
    ['an address', '[The draft](https://example.test/a-media/away)'],
    ['a heading with its subject', '## Expiry and clean-up'],
  ])('is not told of %s', (_what, markdown) => {
    expect(remarksOnDocument(markdown)).toEqual([])
  })
})

describe('the texts of a source', () => {
  it.each([
    ['in quotes', "\nlog.warn({}, 'the figures could not be had')", 2, 'could not be had'],
    ['in a template', `throw new Error(\`the media ${filled('id')} is away\`)`, 1, 'is away'],
    [
      'in a template that is filled in',
      `const x = \`${filled("ok ? `it is away in the bucket` : 'fine'")} now\``,
      1,
      'is away',
    ],
    [
      'behind a regular expression with a quote',
      "text.replace(/['\"]/, '')\nfail('a media is not there')",
      2,
      'a media',
    ],
  ])('are read %s', (_where, source, line, text) => {
    expect(remarksOnSource(source)).toEqual([{ line, text, advice: expect.any(String) }])
  })

  it.each([
    ['after code', 'const a = 1 // the bucket is away', 1, 'is away'],
    ['over two lines', '/**\n * Of a\n * media.\n */', 2, 'a media'],
  ])('have comments read %s', (_where, source, line, text) => {
    expect(remarksOnSource(source)).toEqual([{ line, text, advice: expect.any(String) }])
  })

  it.each([
    ['SQL', 'await sql`select a media is away from the table`.execute(db)'],
    ['names', "const names = 'one two three a-media'"],
    ['divisions', "const half = a / 2; const text = 'ok' // b / c"],
  ])('are not %s', (_what, source) => {
    expect(remarksOnSource(source)).toEqual([])
  })
})

it('names the file and the line of each fault below a folder', async () => {
  const root = mkdtempSync(join(tmpdir(), 'landfall-prose-'))
  onTestFinished(() => rmSync(root, { recursive: true }))
  await mkdir(join(root, 'docs', 'decisions'), { recursive: true })
  await mkdir(join(root, 'server', 'http'), { recursive: true })
  await writeFile(join(root, 'docs', 'decisions', '0001-one.md'), '# One\n\nIt is away.\n')
  await writeFile(join(root, 'server', 'http', 'a.ts'), "\n\nthrow new Error('the bucket is away')\n")
  await writeFile(join(root, 'server', 'http', 'a.test.ts'), "fail('the bucket is away')\n")
  expect(checkRepository(root)).toEqual([
    'docs/decisions/0001-one.md:3: is away: write "is unavailable"',
    'server/http/a.ts:3: is away: write "is unavailable"',
  ])
})
