import { writeFileSync } from 'node:fs'
import type { Reporter, SerializedError, TestCase, TestModule } from 'vitest/node'

/** What `scripts/closing-line.ts` reads. */
export interface TestReport {
  passed: number
  /** Failed tests, broken files and hooks, and errors outside any test. */
  failed: number
  skipped: { name: string; reason: string }[]
}

/**
 * Writes the totals of a run as JSON to the file named by `LANDFALL_TEST_REPORT`, if it is set.
 * The reason of a skipped test is the note of `context.skip(note)`, or what its file lacked according to
 * `requires()` (test/services/requirements.ts).
 */
export default class TotalsReporter implements Reporter {
  onTestRunEnd(modules: ReadonlyArray<TestModule>, unhandledErrors: ReadonlyArray<SerializedError>): void {
    const path = process.env.LANDFALL_TEST_REPORT
    if (path) writeFileSync(path, JSON.stringify(countTests(modules, unhandledErrors.length)))
  }
}

function countTests(modules: ReadonlyArray<TestModule>, unhandledErrors: number): TestReport {
  const report: TestReport = { passed: 0, failed: unhandledErrors, skipped: [] }
  for (const module of modules) {
    // A file that does not load, or a hook of a suite that throws, fails no test; its tests are skipped or unknown.
    if (module.errors().length > 0) report.failed += 1
    for (const suite of module.children.allSuites()) if (suite.errors().length > 0) report.failed += 1
    for (const test of module.children.allTests()) {
      const { state } = test.result()
      if (state === 'passed') report.passed += 1
      else if (state === 'failed') report.failed += 1
      else
        report.skipped.push({
          name: `${module.relativeModuleId} > ${test.fullName}`,
          reason: skipReason(test),
        })
    }
  }
  return report
}

function skipReason(test: TestCase): string {
  const result = test.result()
  if (result.state === 'skipped' && result.note) return result.note
  if (test.options.mode === 'todo') return 'to be written'
  if (test.options.mode !== 'skip')
    return 'a hook or an earlier failure kept it from running, or a filter left it out'
  const unmet = test.module.meta().unmetRequirements
  return unmet && unmet.length > 0 ? unmet.join('; ') : 'marked as skipped in its source'
}
