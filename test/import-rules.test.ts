import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'

/** The rooms of the house, and which others each may import from. Whatever is not said here is not allowed. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  'landfall.ts': ['commands'],
  commands: ['server', 'processing', 'hooks', 'jobs', 'content', 'storage', 'ledger', 'system'],
  server: ['hooks', 'jobs', 'content', 'storage', 'ledger', 'system'],
  processing: ['hooks', 'jobs', 'content', 'storage', 'ledger', 'system'],
  hooks: ['content', 'storage', 'ledger', 'system'],
  jobs: ['ledger'],
  storage: ['content', 'ledger', 'system'],
  content: [],
  system: [],
  ledger: ['migrations'],
  migrations: [],
  'client-demo': [],
  conformance: [],
}

const ROOT = resolve(import.meta.dirname, '..')
const ROOMS = Object.keys(MAY_IMPORT)

type Source = { path: string; room: string; text: string; imports: string[] }

const sources = ROOMS.flatMap(sourcesOf)

/** Every source of a room that is neither a test nor built. Paths are from the root. */
function sourcesOf(room: string): Source[] {
  const files = room.endsWith('.ts')
    ? [room]
    : readdirSync(join(ROOT, room), { recursive: true, encoding: 'utf8' }).map((file) => join(room, file))
  return files
    .filter((path) => /\.tsx?$/.test(path) && !/\.test\.tsx?$/.test(path))
    .filter((path) => !/(^|\/)(dist|node_modules)\//.test(path))
    .map((path) => {
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
  )

/** Ways that lead back to where they began, one for each node at which one was found. */
function circles(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const found: string[] = []
  const done = new Set<string>()
  const walk = (node: string, way: readonly string[]) => {
    const seenAt = way.indexOf(node)
    if (seenAt >= 0) return void found.push([...way.slice(seenAt), node].join(' -> '))
    if (done.has(node)) return
    for (const next of graph.get(node) ?? []) walk(next, [...way, node])
    done.add(node)
  }
  for (const node of graph.keys()) walk(node, [])
  return found
}

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

  it('have no circle between files, nor between folders, types counted as well', () => {
    const files = new Map(sources.map(({ path, imports }) => [path, imports]))
    expect(circles(files)).toEqual([])
    const folders = new Map<string, string[]>()
    for (const { path, imports } of sources) {
      const others = imports.map((imported) => dirname(imported)).filter((folder) => folder !== dirname(path))
      folders.set(dirname(path), [...(folders.get(dirname(path)) ?? []), ...others])
    }
    expect(folders.size).toBeGreaterThan(30)
    expect(circles(folders)).toEqual([])
  })

  it('would be found to have one', () => {
    const chain: [string, string[]][] = [
      ['a', ['b']],
      ['b', ['c']],
      ['c', []],
    ]
    expect(circles(new Map(chain))).toEqual([])
    expect(circles(new Map([...chain, ['c', ['a']]]))).toEqual(['a -> b -> c -> a'])
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
  it('the environment is read by landfall.ts alone', () => {
    expect(holding(/\bprocess\.env\b|\bimport\.meta\.env\b/)).toEqual(['landfall.ts'])
  })

  it('SQL is written in ledger and migrations alone', () => {
    const sql =
      /\bsql(\.raw\b|<[^`]*>`|`)|\b(selectFrom|insertInto|updateTable|deleteFrom|mergeInto)\(|\bledger\/rows\.ts'/
    const written = holding(sql)
    expect(written.length).toBeGreaterThan(3)
    expect(written.filter((path) => !/^(ledger|migrations)\//.test(path))).toEqual([])
  })

  it('programs are started with an environment that is not ours', () => {
    expect(holding(/import \{[^}]*\bexeca\b[^}]*\} from 'execa'/)).toEqual(['system/programs.ts'])
    // A worker is Landfall itself.
    expect(holding(/import \{(?! type \w+ \})[^}]*\} from 'node:child_process'/)).toEqual([
      'server/embedded/worker-process.ts',
      'system/programs.ts',
    ])
    expect(holding(/\brequire\(|import\('(node:)?(child_process|execa)'\)/)).toEqual([])
  })

  it('a context that is not passed on is kept by the adapter of a package alone, which is given nothing but an id', () => {
    expect(holding(/\bAsyncLocalStorage\b/)).toEqual(['server/uploads/tus/package-store.ts'])
  })

  it('one way in knows nothing of another', () => {
    const ways = sources.filter(({ path }) => /^server\/uploads\/\w+\//.test(path))
    expect(ways.length).toBeGreaterThan(10)
    const crossing = ways.flatMap(({ path, imports }) =>
      imports
        .filter((imported) => /^server\/uploads\/\w+\//.test(imported) && dirname(imported) !== dirname(path))
        .map((imported) => `${path} imports ${imported}`),
    )
    expect(crossing).toEqual([])
  })

  it('the engine under them knows no protocol', () => {
    const engine = sources.filter(({ path }) =>
      /^server\/uploads\/(engine|held|append|commits|body)\.ts$/.test(path),
    )
    expect(engine.length).toBe(5)
    for (const { path, text } of engine)
      expect(text, path).not.toMatch(/from '(express|@tus\/|node:http|.*\/http\/)|\.headers\b/)
  })

  it('a route is served from the table alone: one file gives Express its paths, and nobody makes a router', () => {
    const inServer = (pattern: RegExp) => holding(pattern).filter((path) => path.startsWith('server/'))
    const method = '(get|head|post|put|patch|delete|options|all|route)'
    expect(inServer(/\bRouter\b/)).toEqual([])
    expect(inServer(new RegExp(`\\.${method}\\(\\s*['"\`]/`))).toEqual([])
    expect(inServer(new RegExp(`\\b\\w*[aA]pp\\.${method}\\((?!'trust proxy)`))).toEqual([
      'server/routes/mount.ts',
    ])
    // What handles a path without a method is shared by all routes below it, and lets requests through to them.
    expect(inServer(/\buse\(\s*['"`[]/)).toEqual(['server/serving/app.ts'])
  })

  it('a path that is told to clients is made in one place, and the page asks in one', () => {
    expect(holding(/[`'][^`'\n]*\/(api\/v1|files)\/[^`'\n]*\$\{/)).toEqual([
      'storage/signed-path.ts',
      'client-demo/src/api.ts',
    ])
    expect(holding(/\.PUBLIC_URL\b/).toSorted()).toEqual([
      'commands/serve.ts',
      'server/http/addresses.ts',
      'server/serving/http-server.ts',
    ])
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
