import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { describe, expect, it } from 'vitest'

const ROOT = join(import.meta.dirname, '..')

const markdownIn = (folder: string): string[] =>
  readdirSync(join(ROOT, folder))
    .filter((name) => name.endsWith('.md'))
    .map((name) => join(folder, name))

/** What people read to find their way. */
const GUIDES = [...markdownIn('.'), ...markdownIn('docs')]
/** Records of their time: files that they name may have moved since, but their links lead somewhere. */
const RECORDS = markdownIn('docs/decisions')

const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8')

/** Top-level folders and files of the repository, without what is installed, built or written at run time. */
const TOP = readdirSync(ROOT).filter((name) => !['node_modules', '.runtime', '.git', 'data'].includes(name))

/**
 * The paths of the repository that a text names in backticks: what begins with one of its folders, and names of files in
 * its root. Not those with a placeholder, such as `migrations/NNNN-name.ts` or `storage/NAME/`.
 */
function pathsIn(text: string): string[] {
  const isPlaceholder = (word: string) => /[*…<>{}]|\b(NAME|NNNN?|FILE|ID)\b/.test(word)
  return [...text.matchAll(/`([^`\n]+)`/g)]
    .flatMap(([, code = '']) => code.split(/[\s:=]+/))
    .map((word) => word.replace(/[,;.]$/, ''))
    .filter((word) => TOP.includes(word.split('/')[0] ?? '') && /[/.]/.test(word) && !isPlaceholder(word))
}

/** Targets of the relative links of a text. */
const linksIn = (text: string): string[] =>
  [...text.matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target = '']) => target)
    .filter((target) => !/^[a-z]+:/.test(target))

/** The anchors that headings get where Markdown is shown: lower case, blanks as hyphens, no punctuation. */
const anchorsOf = (text: string): string[] =>
  [...text.matchAll(/^#{1,6} (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(/\s/g, '-'),
  )

describe('the guides', () => {
  it('name no file or folder that is not there', () => {
    const named = GUIDES.flatMap((file) => pathsIn(read(file)).map((path) => ({ file, path })))
    expect(named.length).toBeGreaterThan(50)
    const missing = named.filter(({ path }) => !existsSync(join(ROOT, path)))
    expect(missing.map(({ file, path }) => `${file}: ${path}`)).toEqual([])
  })

  it('would be found to do so', () => {
    const text =
      'In `server/nowhere.ts`, `migrations/NNNN-name.ts`, `landfall.ts serve`, `node scripts/a.ts` and `/files`.'
    expect(pathsIn(text)).toEqual(['server/nowhere.ts', 'landfall.ts', 'scripts/a.ts'])
  })
})

describe.each([...GUIDES, ...RECORDS])('the links of %s', (file) => {
  it('lead to files, and to headings in them', () => {
    const broken = linksIn(read(file)).filter((link) => {
      const [path = '', anchor] = link.split('#')
      const target = path === '' ? file : relative(ROOT, join(ROOT, dirname(file), path))
      if (!existsSync(join(ROOT, target))) return true
      return anchor !== undefined && target.endsWith('.md') && !anchorsOf(read(target)).includes(anchor)
    })
    expect(broken).toEqual([])
  })
})
