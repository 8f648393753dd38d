import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { compileFunction } from 'node:vm'

const ROOT = join(import.meta.dirname, '..', '..')
/** The address of the server in every example. */
const ADDRESS = 'http://127.0.0.1:1080'

export type Example = { file: string; language: string; code: string }

/** The code blocks of a document in these languages, in order. */
export function examplesIn(file: string, ...languages: string[]): Example[] {
  const text = readFileSync(join(ROOT, file), 'utf8')
  return [...text.matchAll(/^( *)```(\w+)\n([\s\S]*?)^ *```$/gm)]
    .map(([, indent = '', language = '', code = '']) => ({
      file,
      language,
      code: code.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
    }))
    .filter(({ language }) => languages.includes(language))
}

/** The example that has this text. Fails where there is not exactly one. */
export function exampleWith(file: string, text: string): Example {
  const [found, another] = examplesIn(file, 'js', 'sh').filter(({ code }) => code.includes(text))
  if (!found || another)
    throw new Error(`${file} has ${found ? 'several examples' : 'no example'} with ${text}`)
  return found
}

/** The text of an example, for a server at this address. */
export const textFor = ({ code }: Example, url: string): string => code.replaceAll(ADDRESS, url)

/**
 * Runs an example of JavaScript for a server at this address, and gives the functions that it declares. `given`: its global
 * names, and instead of packages what it imports from them.
 */
export async function runExample(
  example: Example,
  url: string,
  given: Record<string, unknown> = {},
): Promise<Record<string, (...args: unknown[]) => unknown>> {
  const names: Record<string, unknown> = {}
  const body: string[] = []
  for (const line of textFor(example, url).split('\n')) {
    const [, what = '', from = ''] = /^import (.+) from '(.+)'$/.exec(line) ?? []
    if (from === '') {
      body.push(line)
      continue
    }
    const module = (given[from] ?? (await import(from))) as Record<string, unknown>
    const [, list] = /^\{(.*)\}$/.exec(what) ?? []
    if (list === undefined) names[what] = module.default
    else for (const name of list.split(',').map((one) => one.trim())) names[name] = module[name]
  }
  const all: Record<string, unknown> = { ...names, ...given }
  const parameters = Object.keys(all).filter((name) => /^\w+$/.test(name))
  const declared = [...body.join('\n').matchAll(/^(?:async )?function (\w+)/gm)].map(([, name]) => name)
  const run = compileFunction(`${body.join('\n')}\nreturn { ${declared.join(', ')} }`, parameters)
  return run(...parameters.map((name) => all[name]))
}
