/**
 * node build.ts: writes dist/, which is what the package holds. Node runs TypeScript as it is, but not below
 * node_modules, so the package has the same files without their types.
 */

import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { dirname, join } from 'node:path'

const ROOT = import.meta.dirname
const OUTPUT = join(ROOT, 'dist')
const LEFT_OUT = new Set(['dist', 'node_modules', 'build.ts'])
/** What `bin` of package.json names. */
const PROGRAM = 'main.ts'

/** Imports name files as they are called here. */
const renamed = (source: string) => source.replaceAll(/(\bfrom '\.{1,2}\/[^']+)\.ts'/g, "$1.js'")

rmSync(OUTPUT, { recursive: true, force: true })
for (const file of globSync('**/*.ts', { cwd: ROOT, exclude: (name) => LEFT_OUT.has(String(name)) })) {
  const target = join(OUTPUT, file.replace(/\.ts$/, '.js'))
  mkdirSync(dirname(target), { recursive: true })
  const source = readFileSync(join(ROOT, file), 'utf8')
  writeFileSync(target, renamed(stripTypeScriptTypes(source)), { mode: file === PROGRAM ? 0o755 : 0o644 })
}
