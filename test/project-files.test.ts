import { accessSync, constants, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'

const ROOT = join(import.meta.dirname, '..')
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8')
const json = (file: string) => JSON.parse(read(file))

/** The commands that a workflow runs, a line each. Ours has only single-line `run:` keys. */
const runs = (workflow: string) => [...workflow.matchAll(/^\s*(?:- )?run: (.*)$/gm)].map(([, line]) => line)

describe('the hosted workflow', () => {
  const workflow = read('.github/workflows/ci.yml')

  it('runs what .ci/run runs, and nothing else', () => {
    expect(runs(workflow)).toEqual(['.ci/run'])
    accessSync(join(ROOT, '.ci/run'), constants.X_OK)
    expect(read('.ci/run')).toMatch(/^exec npm test$/m)
  })

  it('counts what is skipped as failed, as CI does', () => {
    expect(workflow).toMatch(/^ {6}CI: "true"$/m)
  })

  it('sets up the major version of Node that the scripts install', () => {
    const wanted = /^NODE_VERSION=(\d+)\./m.exec(read('scripts/bootstrap.sh'))?.[1]
    expect(/node-version: (\d+)/.exec(workflow)?.[1]).toBe(wanted)
  })

  it('uses actions of a named major version', () => {
    const used = [...workflow.matchAll(/uses: (\S+)/g)].map(([, action = '']) => action)
    expect(used.length).toBeGreaterThan(1)
    expect(used.filter((action) => !/^actions\/[\w-]+@v\d+$/.test(action))).toEqual([])
  })
})

describe('the licence', () => {
  it('is the same in LICENSE, package.json and package-lock.json', () => {
    expect(read('LICENSE')).toMatch(/^MIT License\n\nCopyright \(c\) 2026 The Landfall authors\n/)
    expect(json('package.json').license).toBe('MIT')
    expect(json('package-lock.json').packages[''].license).toBe('MIT')
  })
})

describe('.editorconfig', () => {
  it('formats as Biome does', () => {
    const { formatter } = json('biome.json')
    const settings = read('.editorconfig')
    expect(settings).toContain(`indent_style = ${formatter.indentStyle}\n`)
    expect(settings).toContain(`indent_size = ${formatter.indentWidth}\n`)
    expect(settings).toContain(`max_line_length = ${formatter.lineWidth}\n`)
  })
})

describe('tests', () => {
  const MAY_SLEEP = ['scripts/dev.slow.test.ts', 'test/project-files.test.ts', 'test/support/pauses.ts']
  // A timer that is kept to be cleared is a deadline.
  const SLEEP = /(?<![\w.])(?<!const timer = )setTimeout\(|\{[^}]*\bsetTimeout\b[^}]*\} from 'node:timers/

  it('wait for time by what is named for its reason, and for everything else by its event', () => {
    const sources = readdirSync(ROOT, { recursive: true, encoding: 'utf8' }).filter(
      (file) => /^test\/.*\.ts$|\.test\.ts$/.test(file) && !/(^|\/)(node_modules|\.\w+)\//.test(file),
    )
    // Beside the pauses: a test that writes a program which stops slowly, and the examples below.
    expect(sources.length).toBeGreaterThan(200)
    const sleeping = sources.filter((file) => SLEEP.test(read(file)))
    expect(sleeping.toSorted()).toEqual(MAY_SLEEP)
  })

  it.each([
    ["import { setTimeout as sleep } from 'node:timers/promises'", true],
    ['await new Promise((resolve) => setTimeout(resolve, 200))', true],
    ['const timer = setTimeout(() => reject(new Error("late")), 200)', false],
    ["import { setImmediate as nextTurn } from 'node:timers/promises'", false],
    ['socket.setTimeout(200)', false],
  ])('would be found out: %s', (line, isSleep) => expect(SLEEP.test(line)).toBe(isSleep))
})
