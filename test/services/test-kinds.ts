import { globSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'

const ROOT = join(import.meta.dirname, '..', '..')

/** Says which programs a machine has: whoever asks it runs one. */
const REQUIREMENTS = 'test/services/requirements.ts'
/** Takes what `global-setup.ts` provides. */
const TAKES_SERVICES = /\bimport \{[^}]*\binject\b[^}]*\} from 'vitest'/
const ASKS_FOR_CEPH = /[=(!] ?requires\('ceph'\)/

/** Needs no service, but seconds, or a process of its own to measure. */
const IS_SLOW = /\.slow\.test\.tsx?$/

/** Whether a test file is no unit test: it takes long, or needs more than Node and the packages. */
export const isIntegrationTest = (file: string): boolean => IS_SLOW.test(file) || needsServices(file)

/** Whether a file reaches, by its imports, what takes a service or runs a program. */
const needsServices = (file: string): boolean =>
  reaches(file, (path, text) => path === REQUIREMENTS || TAKES_SERVICES.test(text))

/** What has to run for these test files. Whoever uses a bucket asks whether Ceph is there. */
export function servicesOf(files: readonly string[]): { postgres: boolean; ceph: boolean } {
  const served = files.filter(needsServices)
  const ceph = served.some((file) => reaches(file, (_path, text) => ASKS_FOR_CEPH.test(text)))
  return { postgres: served.length > 0, ceph }
}

/** Every test file below these folders. */
export function testFilesIn(folders: readonly string[]): string[] {
  return globSync(
    folders.map((folder) => `${folder}/**/*.test.{ts,tsx}`),
    { cwd: ROOT, exclude: (name) => /(^|\/)(node_modules|dist)$/.test(String(name)) },
  ).toSorted()
}

/** Whether a file, or one that it imports, directly or not, is such a one. */
function reaches(file: string, isSuch: (path: string, text: string) => boolean): boolean {
  const reached = new Set<string>()
  const waiting = [file]
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    if (reached.has(path)) continue
    reached.add(path)
    const { text, imports } = sourceAt(path)
    if (isSuch(path, text)) return true
    waiting.push(...imports)
  }
  return false
}

type Source = { text: string; imports: readonly string[] }
const sources = new Map<string, Source>()

function sourceAt(path: string): Source {
  let source = sources.get(path)
  if (source === undefined) {
    const text = readFileSync(join(ROOT, path), 'utf8')
    source = { text, imports: importsOf(path, text) }
    sources.set(path, source)
  }
  return source
}

/** Files of ours that a file loads, at once or later. Types load nothing. */
function importsOf(path: string, text: string): string[] {
  const found = text.matchAll(
    /^(?:import|export)\s+(?!type\b)(?:[^'"]*?\sfrom\s+)?['"](\.{1,2}\/[^'"]+)['"]|\bimport\(\s*['"](\.{1,2}\/[^'"]+)['"]/gm,
  )
  return [...found]
    .map(([, plain, late]) => relative(ROOT, resolve(ROOT, dirname(path), plain ?? late ?? '')))
    .filter((imported) => /\.tsx?$/.test(imported))
}
