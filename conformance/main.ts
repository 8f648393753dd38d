/** npm run conformance: see options.ts for what it takes, docs/conformance.md for what it means. */

import { findTarget, type Target } from './kit/peer.ts'
import type { Row } from './kit/row.ts'
import { HELP, type Options, parseOptions, UsageError } from './options.ts'
import { closingText, isFailure, plain, sectionText } from './report.ts'
import { rows } from './rows.ts'
import { type Result, run } from './run.ts'

const TITLES = { tus: 'tus 1.0', ietf: 'Resumable Uploads for HTTP (IETF draft)' } as const

const titleOf = ({ protocol, section }: Row) => `${TITLES[protocol]}: ${section}`

/** Exit codes: 0 every MUST is met, 1 one is not, 2 called wrongly or nobody answers. */
async function main(args: readonly string[]): Promise<number> {
  const options = parseOptions(args)
  if (options === undefined) {
    process.stdout.write(HELP)
    return 0
  }
  const chosen = rows.filter(
    ({ id, section, protocol }) =>
      options.protocols.includes(protocol) && (options.only.test(id) || options.only.test(section)),
  )
  if (chosen.length === 0) throw new UsageError('no row matches --only')
  const target = await reach(options)
  const results = options.isJson ? await collect(chosen, target) : await print(chosen, target)
  return results.some(isFailure) ? 1 : 0
}

async function reach({ endpoint, token, interop }: Options): Promise<Target> {
  try {
    return await findTarget({ endpoint, token, interop })
  } catch (error) {
    throw new UsageError(`no answer from ${endpoint}: ${error instanceof Error ? error.message : error}`)
  }
}

async function collect(chosen: readonly Row[], target: Target): Promise<readonly Result[]> {
  const results = await run(chosen, target)
  process.stdout.write(`${JSON.stringify(results.map(plain), null, 2)}\n`)
  return results
}

/** A section is printed when its last row is done. */
async function print(chosen: readonly Row[], target: Target): Promise<readonly Result[]> {
  const results: Result[] = []
  for (const [title, ofSection] of Map.groupBy(chosen, titleOf)) {
    const done = await run(ofSection, target)
    process.stdout.write(`${sectionText(title, done)}\n`)
    results.push(...done)
  }
  process.stdout.write(closingText(results))
  return results
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  if (!(error instanceof UsageError)) throw error
  process.stderr.write(`conformance: ${error.message}\n`)
  process.exitCode = 2
}
