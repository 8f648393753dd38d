import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'

/** The rooms of the house, and which others each may import from. Whatever is not said here is not allowed. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  server: ['hooks', 'ledger', 'storage', 'processing/queues.ts'],
  hooks: ['ledger', 'storage'],
  storage: ['ledger'],
  ledger: ['migrations'],
  processing: ['ledger', 'storage'],
  migrations: [],
  'client-demo': [],
  conformance: [],
}

/** Where the server reaches into processing: the commands that run, or check, what a worker runs, and what starts one. */
const EXCEPTIONS = [
  ['server/commands/worker.ts', 'processing/process.ts'],
  ['server/doctor/tools.ts', 'processing/tool-sandbox.ts'],
  ['server/doctor/addresses.ts', 'processing/outgoing/addresses.ts'],
  ['server/commands/worker.ts', 'processing/tool-sandbox.ts'],
  ['server/commands/worker.ts', 'processing/low-priority.ts'],
  ['server/commands/reap.ts', 'processing/reaper.ts'],
  ['server/commands/reap.ts', 'processing/pruner.ts'],
  ['server/commands/reap.ts', 'processing/collected-failures.ts'],
  ['server/embedded/supervise.ts', 'processing/low-priority.ts'],
] as const

const ROOT = resolve(import.meta.dirname, '..')
const ROOMS = Object.keys(MAY_IMPORT)

type Source = { path: string; room: string; text: string; imports: string[] }

const sources = ROOMS.flatMap(sourcesOf)

/** Every source of a room that is neither a test nor built. Paths are from the root. */
function sourcesOf(room: string): Source[] {
  return readdirSync(join(ROOT, room), { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.tsx?$/.test(file) && !/\.test\.tsx?$/.test(file))
    .filter((file) => !/(^|\/)(dist|node_modules)\//.test(file))
    .map((file) => {
      const path = join(room, file)
      const text = readFileSync(join(ROOT, path), 'utf8')
      return { path, room, text, imports: importsOf(path, text) }
    })
}

/** What a file imports of our own, statically or not, for types or not. Paths are from the root. */
function importsOf(path: string, text: string): string[] {
  const specifiers = text.matchAll(/\b(?:from|import)\s*\(?\s*['"](\.{1,2}\/[^'"]+)['"]/g)
  return [...specifiers].map(([, specifier = '']) =>
    relative(ROOT, resolve(ROOT, dirname(path), specifier)).replace(/\?.*$/, ''),
  )
}

const isAllowed = (source: Source, imported: string): boolean =>
  [source.room, ...(MAY_IMPORT[source.room] ?? [])].some(
    (place) => imported === place || imported.startsWith(`${place}/`),
  ) || EXCEPTIONS.some(([from, to]) => from === source.path && to === imported)

const holding = (pattern: RegExp) => sources.filter(({ text }) => pattern.test(text)).map(({ path }) => path)

describe('the rooms of the house', () => {
  it.each(ROOMS)('%s imports from where it may, and from nowhere else', (room) => {
    const inRoom = sources.filter((source) => source.room === room)
    expect(inRoom.length).toBeGreaterThan(0)
    const forbidden = inRoom.flatMap((source) =>
      source.imports
        .filter((imported) => !isAllowed(source, imported))
        .map((imported) => `${source.path} imports ${imported}`),
    )
    expect(forbidden).toEqual([])
  })

  it.each(EXCEPTIONS)('%s is known to import %s', (from, to) => {
    expect(sources.find(({ path }) => path === from)?.imports).toContain(to)
  })

  it('are read as they are written: each import leads to a file', () => {
    const known = new Set(sources.map(({ path }) => path))
    const ofCode = sources.flatMap(({ imports }) => imports).filter((path) => /\.tsx?$/.test(path))
    expect(ofCode.length).toBeGreaterThan(100)
    expect(ofCode.filter((path) => !known.has(path))).toEqual([])
  })
})

describe('the conformance suite', () => {
  it('is one that other servers can trust: it imports nothing but Node', () => {
    const specifiers = sources
      .filter(({ room }) => room === 'conformance')
      .flatMap(({ text }) => [...text.matchAll(/^(?:import|export|\}).*\bfrom '([^']+)'$/gm)])
      .map(([, specifier = '']) => specifier)
    expect(specifiers).toContain('node:net')
    expect(specifiers.filter((specifier) => !/^(node:|\.{1,2}\/)/.test(specifier))).toEqual([])
  })
})

describe('what belongs in one place', () => {
  it('the environment is read by server/main.ts alone', () => {
    expect(holding(/\bprocess\.env\b|\bimport\.meta\.env\b/)).toEqual(['server/main.ts'])
  })

  it('SQL is written in ledger and migrations alone', () => {
    const sql = /\bsql(\.raw\b|<[^`]*>`|`)|\b(selectFrom|insertInto|updateTable|deleteFrom|mergeInto)\(/
    const written = holding(sql)
    expect(written.length).toBeGreaterThan(3)
    expect(written.filter((path) => !/^(ledger|migrations)\//.test(path))).toEqual([])
  })

  it('programs are started with an environment that is not ours', () => {
    expect(holding(/import \{[^}]*\bexeca\b[^}]*\} from 'execa'/)).toEqual(['storage/programs.ts'])
    // A worker is Landfall itself.
    expect(holding(/import \{(?! type \w+ \})[^}]*\} from 'node:child_process'/)).toEqual([
      'server/embedded/worker-process.ts',
      'storage/programs.ts',
    ])
    expect(holding(/\brequire\(|import\('(node:)?(child_process|execa)'\)/)).toEqual([])
  })

  it('every router is a strict one, made in one place', () => {
    expect(holding(/(?<!type )\bRouter\(/)).toEqual(['server/routing.ts'])
  })

  it('only the ledger talks to the database, but for what sets it up and finds it', () => {
    expect(holding(/from 'pg'/).filter((path) => !path.startsWith('ledger/'))).toEqual([])
    expect(holding(/ledger\/connection\.ts'/)).toEqual([
      'server/embedded/command-database.ts',
      'server/embedded/postgres.ts',
      'server/embedded/served-directory.ts',
      'server/embedded/server-lock.ts',
    ])
  })
})
