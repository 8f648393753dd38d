import { describe, expect, it } from 'vitest'
import { type Clause, clausesOf, hasItsKeyWord } from '../conformance/kit/clause.ts'
import { Deviation } from '../conformance/kit/expectations.ts'
import type { Target } from '../conformance/kit/peer.ts'
import { INTEROPS } from '../conformance/kit/protocols.ts'
import type { Row } from '../conformance/kit/row.ts'
import { closingText, plain, sectionText, verdictOf } from '../conformance/report.ts'
import { rowsFor } from '../conformance/rows.ts'
import { type Result, Run } from '../conformance/run.ts'

const every = INTEROPS.flatMap((interop) => rowsFor(interop))
const idsFor = (interop: 6 | 8) => rowsFor(interop).map(({ id }) => id)

describe('the rows', () => {
  it('have ids of their own that begin with their protocol', () => {
    for (const interop of INTEROPS) {
      const ids = idsFor(interop)
      expect(ids.filter((id, index) => ids.indexOf(id) !== index)).toEqual([])
    }
    for (const { id, protocol } of every) expect(id).toMatch(new RegExp(`^${protocol}-[a-z\\d-]+$`))
  })

  it('say in a sentence what they ask for', () => {
    for (const { requirement } of every) expect(requirement).toMatch(/^[A-Z].{10,}\.$/)
  })

  it('have the level that the words have which they quote', () => {
    const others = every.filter(({ clause }) => !hasItsKeyWord(clause))
    expect(others.map(({ id, clause }) => [id, clause.level, clause.quote])).toEqual([])
    for (const { clause } of every) {
      expect(clause.quote.length).toBeGreaterThan(20)
      expect(clause.section).not.toBe('')
    }
  })

  it('would be found to claim more than they quote', () => {
    const { must, should, choice } = clausesOf('a standard')
    const said = 'The Server SHOULD answer.'
    expect([must('1', said), should('1', said)].map(hasItsKeyWord)).toEqual([false, true])
    expect(hasItsKeyWord(choice('1', 'The Server MUST answer.'))).toBe(false)
  })

  it('quote the draft of the version that is looked at, tus 1.0, or HTTP', () => {
    const standardsFor = (interop: 6 | 8) => new Set(rowsFor(interop).map(({ clause }) => clause.standard))
    const others = ['tus 1.0', 'RFC 9110', 'RFC 9530']
    expect(standardsFor(6)).toEqual(new Set([...others, 'draft-ietf-httpbis-resumable-upload-05']))
    expect(standardsFor(8)).toEqual(new Set([...others, 'draft-ietf-httpbis-resumable-upload-12']))
  })

  it('rest on rows that are there, and never in a circle', () => {
    const ids = new Set(every.map(({ id }) => id))
    expect(every.flatMap(({ after }) => after).filter((id) => !ids.has(id))).toEqual([])
    for (const interop of INTEROPS) {
      const rows = new Map(rowsFor(interop).map((row) => [row.id, row]))
      const walk = (id: string, way: readonly string[]): void => {
        expect(way, `${id} rests on itself`).not.toContain(id)
        for (const next of rows.get(id)?.after ?? []) walk(next, [...way, id])
      }
      for (const id of rows.keys()) walk(id, [])
    }
  })

  // What draft-05 does not say, or says otherwise.
  it.each([
    'ietf-append-part-flag',
    'ietf-length-ignored',
    'ietf-length-parameters',
    'ietf-length-repeated',
    'ietf-creation-flag-ignored',
    'ietf-creation-flag-parameters',
    'ietf-append-offset-parameters',
    'ietf-cut-append-length',
    'ietf-head-limits',
    'ietf-creation-limits',
    'ietf-get-offset',
  ])('do not ask for %s in interop version 6', (id) => {
    expect([idsFor(6).includes(id), idsFor(8).includes(id)]).toEqual([false, true])
  })

  it.each([
    'tus-creation-metadata-order',
    'tus-creation-metadata-empty',
    'tus-creation-metadata-loose',
    'tus-patch-refused-heard',
    'ietf-append-offset-parameters',
  ])('only advise %s, which no text demands', (id) => {
    expect(every.find((row) => row.id === id)?.clause.level).toBe('ADVICE')
  })
})

const { must, should, may, advice } = clausesOf('a standard')
const TARGET: Target = {
  endpoint: new URL('http://127.0.0.1:9/files'),
  token: null,
  interop: 8,
  capabilities: {
    hasTus: true,
    hasIetf: true,
    otherInterop: undefined,
    extensions: [],
    checksums: [],
    maxSize: undefined,
    limits: undefined,
    hasToken: false,
  },
}

function rowWith(id: string, change: Partial<Row> & { fails?: boolean } = {}): Row {
  const { fails = false, ...others } = change
  return {
    id,
    protocol: 'tus',
    clause: must('Section', 'The Server MUST do it.'),
    requirement: 'It does it.',
    needs: [],
    after: [],
    check: async () => {
      if (fails) throw new Deviation('it does not')
    },
    ...others,
  }
}

describe('a run', () => {
  const outcomesOf = async (rows: readonly Row[], chosen = rows) =>
    (await new Run(rows, TARGET).resultsOf(chosen)).map(({ row, outcome }) => [row.id, outcome])

  it('counts a cause once: what rests on a row that is not met is skipped, and so on', async () => {
    const rows = [
      rowWith('c', { after: ['b'], fails: true }),
      rowWith('b', { after: ['a'], fails: true }),
      rowWith('a', { fails: true }),
      rowWith('d', { after: ['e'] }),
      rowWith('e'),
    ]
    expect(await outcomesOf(rows)).toEqual([
      ['c', 'skipped'],
      ['b', 'skipped'],
      ['a', 'failed'],
      ['d', 'passed'],
      ['e', 'passed'],
    ])
    const [first] = await new Run(rows, TARGET).resultsOf(rows)
    expect(first).toMatchObject({ reason: 'it rests on a, which is not met' })
  })

  it('asks what a row rests on even where only that row is chosen', async () => {
    const rows = [rowWith('a', { fails: true }), rowWith('b', { after: ['a'] })]
    expect(await outcomesOf(rows, rows.slice(1))).toEqual([['b', 'skipped']])
  })

  it('runs what rests on a row that does not apply', async () => {
    const rows = [rowWith('a', { needs: ['checksum'] }), rowWith('b', { after: ['a'] })]
    expect(await outcomesOf(rows)).toEqual([
      ['a', 'skipped'],
      ['b', 'passed'],
    ])
  })

  it('runs each row once', async () => {
    let times = 0
    const check = async () => void times++
    const rows = [rowWith('b', { after: ['a'] }), rowWith('c', { after: ['a'] }), rowWith('a', { check })]
    await outcomesOf(rows)
    expect(times).toBe(1)
  })
})

describe('a report', () => {
  const resultOf = (clause: Clause): Result => ({
    row: rowWith('a', { clause }),
    outcome: 'failed',
    reason: 'it does not',
  })

  it('fails a server for a MUST alone', () => {
    const results = [
      must('1', 'MUST'),
      { ...must('1', 'MUST'), isOfSomeDrafts: true },
      should('1', 'SHOULD'),
      may('1', 'MAY'),
      advice('1', 'It is wise.'),
    ].map(resultOf)
    expect(results.map(verdictOf)).toEqual(['failed', 'warning', 'warning', 'note', 'note'])
    expect(closingText(results)).toMatch(/^2 warnings: .*\n2 notes: .*\n0 passed, 1 failed, 0 skipped\n$/)
  })

  it('quotes what is not met', () => {
    const result = resultOf(must('1', 'The Server MUST do it.'))
    expect(sectionText('Title', [result])).toContain('("The Server MUST do it.")')
    expect(plain(result)).toMatchObject({
      standard: 'a standard',
      section: '1',
      level: 'MUST',
      quote: 'The Server MUST do it.',
      outcome: 'failed',
      reason: 'it does not',
    })
  })
})
