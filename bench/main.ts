/** npm run bench: see options.ts for what it takes, docs/benchmarks.md for how it measures. */
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLog } from '../server/process/log.ts'
import { type Audience, bench } from './bench.ts'
import { goalInWords, measuredGoals } from './goals.ts'
import { HELP, parseOptions, UsageError } from './options.ts'
import { CAVEATS } from './report/document.ts'
import { alignedText, failuresInWords, headOf, number, rowsOf } from './report/table.ts'
import { writeReport } from './report/write.ts'

const DOCS = join(import.meta.dirname, '..', 'docs')

/** Tables go to standard output, all else to standard error. */
const audience: Audience = {
  onCase: (name, storage) => process.stderr.write(`\n${name} on ${storage}\n`),
  onRun(subject, round, { rate, cpu }) {
    const what = round === 0 ? 'dropped' : `round ${round}`
    process.stderr.write(`  ${what}  ${subject.padEnd(8)}  rate ${number(rate)}  cpu ${number(cpu)}\n`)
  },
  onResult(result) {
    const rows = [headOf(result), ...rowsOf(result)]
    const failures = failuresInWords(result)
      .map((line) => `${line}\n`)
      .join('')
    process.stdout.write(`\n${result.title}, on ${result.storage}\n\n${alignedText(rows)}${failures}`)
  },
  onSkipped: (reason) => process.stderr.write(`\nskipped: ${reason}\n`),
  onNotice: (text) => process.stderr.write(`\n${text}\n`),
}

/** Exit codes: 0 done, 1 failed, 2 called wrongly, 130 stopped. */
async function main(args: readonly string[]): Promise<number> {
  const options = parseOptions(args)
  if (options === undefined) {
    process.stdout.write(HELP)
    return 0
  }
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop.abort())
  const directory = await mkdtemp(join(options.directory ?? tmpdir(), 'landfall-bench-'))
  // PostgreSQL runs as a user of its own where we are root.
  await chmod(directory, 0o755)
  try {
    const log = createLog({ level: 'warn', name: 'bench' })
    const results = await bench(options, directory, audience, stop.signal, log)
    // A small plan tells whether it works, not how fast.
    const goals = options.isQuick ? [] : measuredGoals(results.cases)
    if (goals.length > 0) process.stdout.write(`\n${goals.map((goal) => `${goalInWords(goal)}\n`).join('')}`)
    process.stdout.write(`\n${[...CAVEATS, ...results.skipped].map((line) => `* ${line}\n`).join('')}`)
    const isOurFailure = results.cases.some(({ failures }) => failures.landfall !== undefined)
    if (options.isComplete && results.skipped.length === 0 && !isOurFailure) await writeReport(DOCS, results)
    else process.stderr.write('\nNot everything was measured in full: docs/benchmarks.* stay as they are.\n')
    return isOurFailure ? 1 : 0
  } catch (error) {
    if (!stop.signal.aborted) throw error
    process.stderr.write('\nstopped\n')
    return 130
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  if (!(error instanceof UsageError)) throw error
  process.stderr.write(`bench: ${error.message}\n`)
  process.exitCode = 2
}
