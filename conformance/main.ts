#!/usr/bin/env node
/** See options.ts for what it takes, README.md for what it means. */

import { findTarget, type Target } from './kit/peer.ts'
import type { Row } from './kit/row.ts'
import { HELP, type Options, parseOptions, UsageError } from './options.ts'
import { closingText, isFailure, plain, sectionText } from './report.ts'
import { rowsFor } from './rows.ts'
import { type Result, Run } from './run.ts'

const titleOf = ({ clause }: Row) => `${clause.standard}: ${clause.section}`

/** Exit codes: 0 every MUST is met, 1 one is not, 2 called wrongly, nobody answers, or nothing could be looked at. */
async function main(args: readonly string[]): Promise<number> {
  const options = parseOptions(args)
  if (options === undefined) {
    process.stdout.write(HELP)
    return 0
  }
  const all = rowsFor(options.interop)
  const chosen = all.filter((row) => isChosen(row, options))
  if (chosen.length === 0) throw new UsageError('no row matches --only')
  const target = await reach(options)
  const run = new Run(all, target)
  const results = options.isJson ? await collect(chosen, run) : await print(chosen, run)
  explain(results, target)
  if (results.every(({ outcome }) => outcome === 'skipped')) return 2
  return results.some(isFailure) ? 1 : 0
}

const isChosen = ({ id, clause, protocol }: Row, { protocols, only }: Options): boolean =>
  protocols.includes(protocol) && (only.test(id) || only.test(clause.section))

async function reach({ endpoint, token, interop }: Options): Promise<Target> {
  try {
    return await findTarget({ endpoint, token, interop })
  } catch (error) {
    throw new UsageError(`no answer from ${endpoint}: ${error instanceof Error ? error.message : error}`)
  }
}

async function collect(chosen: readonly Row[], run: Run): Promise<readonly Result[]> {
  const results = await run.resultsOf(chosen)
  process.stdout.write(`${JSON.stringify(results.map(plain), null, 2)}\n`)
  return results
}

/** A section is printed when its last row is done. */
async function print(chosen: readonly Row[], run: Run): Promise<readonly Result[]> {
  const results: Result[] = []
  for (const [title, ofSection] of Map.groupBy(chosen, titleOf)) {
    const done = await run.resultsOf(ofSection)
    process.stdout.write(`${sectionText(title, done)}\n`)
    results.push(...done)
  }
  process.stdout.write(closingText(results))
  return results
}

/** Tells, beside the results, why there are none where something else was meant. */
function explain(results: readonly Result[], { capabilities, interop }: Target): void {
  const { otherInterop } = capabilities
  const asked = results.some(({ row }) => row.protocol === 'ietf')
  if (asked && otherInterop !== undefined) {
    complain(
      `the server speaks interop version ${otherInterop}, not ${interop}: use --interop ${otherInterop}`,
    )
  }
  if (results.every(({ outcome }) => outcome === 'skipped')) complain('every row was skipped')
}

const complain = (message: string) => process.stderr.write(`conformance: ${message}\n`)

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  if (!(error instanceof UsageError)) throw error
  complain(error.message)
  process.exitCode = 2
}
