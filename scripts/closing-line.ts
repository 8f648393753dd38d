/**
 * The end of `npm test`: lists what was skipped and why, then prints the one line that sums the run up.
 *
 *     node scripts/closing-line.ts REPORT VITEST_EXIT lint=passed types=failed …
 *
 * Exits 1 if anything failed.
 */
import { readFileSync } from 'node:fs'
import type { TestReport } from '../test/reporter.ts'

export interface Run {
  /** What test/reporter.ts wrote; undefined if vitest ended before it could. */
  report: TestReport | undefined
  vitestExitCode: number
  /** `name=passed` or `name=failed`, one for each check beside the tests. */
  checks: string[]
  /** On CI a skipped test is a failed one: a machine that lacks something must not look green. */
  isCi: boolean
}

/** The lines to print, the last of which is `N passed, N failed[, N skipped]`, and whether the run failed. */
export function closeRun({ report, vitestExitCode, checks, isCi }: Run): {
  lines: string[]
  failed: boolean
} {
  const lines: string[] = []
  const failedChecks = checks.filter((check) => check.endsWith('=failed'))
  const passed = (report?.passed ?? 0) + checks.length - failedChecks.length
  let failed = (report?.failed ?? 0) + failedChecks.length
  let skipped = report?.skipped.length ?? 0

  for (const check of failedChecks) lines.push(`Failed: ${check.replace('=failed', '')}`)
  if (vitestExitCode !== 0 && !report?.failed) {
    lines.push(`Failed: vitest ended with code ${vitestExitCode} and reported no failed test`)
    failed += 1
  }
  if (vitestExitCode === 0 && report === undefined) {
    lines.push('Failed: vitest wrote no report')
    failed += 1
  }
  if (report && report.skipped.length > 0) {
    lines.push(isCi ? 'Skipped, which counts as failed with CI=true:' : 'Skipped:')
    for (const { name, reason } of report.skipped) lines.push(`  ${name}: ${reason}`)
  }
  if (isCi) {
    failed += skipped
    skipped = 0
  }
  lines.push(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
  return { lines, failed: failed > 0 }
}

function readReport(path: string): TestReport | undefined {
  const text = readFileSync(path, 'utf8')
  return text === '' ? undefined : (JSON.parse(text) as TestReport)
}

if (import.meta.main) {
  const [reportPath = '', vitestExitCode = '1', ...checks] = process.argv.slice(2)
  const { lines, failed } = closeRun({
    report: readReport(reportPath),
    vitestExitCode: Number(vitestExitCode),
    checks,
    isCi: process.env.CI === 'true' || process.env.CI === '1',
  })
  console.log(`\n${lines.join('\n')}`)
  process.exitCode = failed ? 1 : 0
}
