import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { mediaStatuses, uploadStates } from '../client-demo/src/contract.ts'
import { EVENTS } from '../ledger/event-types.ts'
import { openApiDocument } from '../server/api/openapi.ts'
import { Media, Upload } from '../server/api/schemas.ts'
import { ROUTES } from '../server/api/table.ts'

const ROOT = join(import.meta.dirname, '..')
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8')
const text = read('docs/states.md')

type Transitions = Map<string, Set<string>>

/** Transitions of one of the two in the diagram; `[*]` is where it begins. */
function drawn(name: string): Transitions {
  const found: Transitions = new Map()
  const body = new RegExp(`as ${name} \\{([^}]*)\\}`).exec(text)?.[1] ?? ''
  for (const [, from = '', to = ''] of body.matchAll(/^ +(\S+) --> (\S+)$/gm)) {
    found.set(from, (found.get(from) ?? new Set()).add(to))
    if (!found.has(to)) found.set(to, new Set())
  }
  return found
}

/** The same in the table below a heading. */
function tabled(heading: string): Transitions {
  const section = text.split(`## ${heading}\n`)[1]?.split('\n## ')[0] ?? ''
  const rows = [...section.matchAll(/^\| `(\w+)` \|[^|]*\|([^|]*)\|/gm)]
  return new Map(
    rows.map(([, state = '', next = '']) => [
      state,
      new Set([...next.matchAll(/\w+/g)].map(([word]) => word)),
    ]),
  )
}

const eventsOf = (what: string) =>
  Object.keys(EVENTS).flatMap((type) => (type.startsWith(`${what}.`) ? type.slice(what.length + 1) : []))

type Enum = { enum: string[] }
const { schemas } = openApiDocument(ROUTES).components as {
  schemas: Record<string, { properties: Record<string, Enum> }>
}

describe.each([
  {
    name: 'upload',
    heading: 'Upload states',
    words: Upload.shape.state.options as readonly string[],
    described: schemas.Upload?.properties.state?.enum,
    ofPage: uploadStates as readonly string[],
    begins: 'open',
    // The first state has another event, as nothing has changed.
    events: [['open', 'created']] as [string, string | undefined][],
    others: [],
  },
  {
    name: 'media',
    heading: 'Media item states',
    words: Media.shape.status.options as readonly string[],
    described: schemas.Media?.properties.status?.enum,
    ofPage: mediaStatuses as readonly string[],
    begins: 'processing',
    // Told by `upload.received`.
    events: [['processing', undefined]] as [string, string | undefined][],
    // A restored one has the state that it had; a purged one stays deleted, and an updated one what it is.
    others: ['restored', 'purged', 'updated'],
  },
])('the states of $name', ({ name, heading, words, described, ofPage, begins, events, others }) => {
  const diagram = drawn(name)

  it('are the same words in the diagram, the table, the API, its description and the page', () => {
    const states = new Set(words)
    expect(new Set([...diagram.keys()].filter((state) => state !== '[*]'))).toEqual(states)
    expect(new Set(tabled(heading).keys())).toEqual(states)
    expect(new Set(described)).toEqual(states)
    expect(new Set(ofPage)).toEqual(states)
  })

  it('are the last word of their events', () => {
    const told = words.map((state) => (new Map(events).has(state) ? new Map(events).get(state) : state))
    expect(new Set(eventsOf(name))).toEqual(
      new Set([...told.filter((word) => word !== undefined), ...others]),
    )
    for (const other of others) expect(text).toContain(`\`${name}.${other}\``)
  })

  it('follow each other in the table as in the diagram', () => {
    expect(diagram.get('[*]')).toEqual(new Set([begins]))
    for (const [state, next] of tabled(heading)) expect([state, next]).toEqual([state, diagram.get(state)])
  })
})

it('the page has no other words for them, but for what only it knows', () => {
  const source = read('client-demo/src/upload-state.ts')
  const used = [...source.matchAll(/readonly state: ((?:'\w+'(?: \| )?)+)/g)].flatMap(([, list = '']) =>
    list.split(' | ').map((word) => word.replaceAll("'", '')),
  )
  const known = [...Upload.shape.state.options, ...Media.shape.status.options, 'stopped']
  expect(used.length).toBeGreaterThan(5)
  expect(used.filter((word) => !known.some((one) => one === word))).toEqual([])
  expect(text).toContain('`stopped`')
})

it('are those that docs/api.md names', () => {
  const api = read('docs/api.md')
  const named = (pattern: RegExp) =>
    new Set([...(pattern.exec(api)?.[1] ?? '').matchAll(/`(\w+)`/g)].map(([, word]) => word))
  expect(named(/`state` is (.*?)\./)).toEqual(new Set(Upload.shape.state.options))
  const statuses = named(/\| `status` \| (.*) \|/)
  for (const status of statuses) expect(Media.shape.status.options).toContain(status)
})
