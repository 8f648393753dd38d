import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { rowsFor } from '../conformance/rows.ts'
import { type StockTus, startStockTus } from './support/stock-tus.ts'

const PACKAGE = join(import.meta.dirname, '..', 'conformance')

// Node does not strip types below node_modules, so this runs what somebody else would install.
describe('the package of the conformance suite', () => {
  let folder: string
  let files: readonly string[]
  let stock: StockTus

  const program = (...args: string[]) =>
    execa(join(folder, 'node_modules', '.bin', 'upload-conformance'), args, { cwd: folder, reject: false })

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'landfall-package-'))
    stock = await startStockTus()
    const packed = await execa('npm', ['pack', '--json', '--pack-destination', folder], { cwd: PACKAGE })
    // What prepack prints comes before the JSON.
    const [made] = JSON.parse(packed.stdout.slice(packed.stdout.indexOf('[\n'))) as {
      filename: string
      files: { path: string }[]
    }[]
    if (!made) throw new Error('npm pack made nothing')
    files = made.files.map(({ path }) => path)
    await writeFile(join(folder, 'package.json'), '{ "private": true }')
    const options = ['--offline', '--no-audit', '--no-fund', '--ignore-scripts']
    await execa('npm', ['install', ...options, join(folder, made.filename)], { cwd: folder })
  })
  afterAll(async () => {
    await stock?.close()
    if (folder) await rm(folder, { recursive: true, force: true })
  })

  it('holds JavaScript, what says how to use it, and the licence, and nothing else', () => {
    const others = files.filter((path) => !/^dist\/([a-z-]+\/)?[a-z\d-]+\.js$/.test(path))
    expect(others.toSorted()).toEqual(['LICENSE', 'README.md', 'package.json'])
    expect(files).toContain('dist/main.js')
    expect(files.filter((path) => /build|test/.test(path))).toEqual([])
  })

  it('needs nothing but Node', async () => {
    const manifest = JSON.parse(await readFile(join(PACKAGE, 'package.json'), 'utf8'))
    expect(manifest).toMatchObject({ dependencies: {}, license: 'MIT', engines: { node: '>=22.18' } })
    expect(manifest.devDependencies).toBeUndefined()
  })

  it('tells how it is called', async () => {
    const { exitCode, stdout } = await program('--help')
    expect(exitCode).toBe(0)
    expect(stdout).toMatch(/^upload-conformance URL \[options\]/)
  })

  it('looks at a server as the sources do', async () => {
    const { exitCode, stdout, stderr } = await program(
      stock.url.href,
      '--json',
      '--only',
      '^tus-(patch|head)-',
    )
    expect([exitCode, stderr]).toEqual([0, ''])
    const results = JSON.parse(stdout) as { id: string; outcome: string }[]
    const wanted = rowsFor(8)
      .map(({ id }) => id)
      .filter((id) => /^tus-(patch|head)-/.test(id))
    expect(results.map(({ id }) => id)).toEqual(wanted)
    expect(results.filter(({ outcome }) => outcome === 'passed').length).toBeGreaterThan(20)
  })

  it('fails a server that does not keep to a MUST', async () => {
    const { exitCode, stdout } = await program(stock.url.href, '--only', '^tus-override-patch$')
    expect([exitCode, stdout.split('\n').at(-1)]).toEqual([1, '0 passed, 1 failed, 0 skipped'])
  })
})
