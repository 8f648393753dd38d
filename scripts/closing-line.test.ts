import { describe, expect, it } from 'vitest'
import { closeRun, type Run } from './closing-line.ts'

const green: Run = {
  report: { passed: 5, failed: 0, skipped: [] },
  vitestExitCode: 0,
  checks: ['lint=passed', 'types=passed'],
  isCi: false,
}
const skipped = [{ name: 'a.test.ts > scans', reason: 'clamd is not installed' }]

describe('the closing line of npm test', () => {
  it.each<[string, Partial<Run>, string, boolean]>([
    ['counts each check beside the tests', {}, '7 passed, 0 failed', false],
    ['counts a failed check', { checks: ['lint=failed', 'types=passed'] }, '6 passed, 1 failed', true],
    [
      'counts failed tests once',
      { report: { passed: 4, failed: 2, skipped: [] }, vitestExitCode: 1 },
      '6 passed, 2 failed',
      true,
    ],
    [
      'names skipped tests only if there are any',
      { report: { passed: 5, failed: 0, skipped } },
      '7 passed, 0 failed, 1 skipped',
      false,
    ],
    [
      'turns skipped tests into failed ones on CI',
      { report: { passed: 5, failed: 0, skipped }, isCi: true },
      '7 passed, 1 failed',
      true,
    ],
    [
      'fails when vitest broke before the tests',
      { report: undefined, vitestExitCode: 1 },
      '2 passed, 1 failed',
      true,
    ],
    ['fails when there is no report at all', { report: undefined }, '2 passed, 1 failed', true],
    ['fails when vitest failed without a failed test', { vitestExitCode: 1 }, '7 passed, 1 failed', true],
  ])('%s', (_behaviour, run, line, failed) => {
    const closing = closeRun({ ...green, ...run })
    expect(closing.lines.at(-1)).toBe(line)
    expect(closing.failed).toBe(failed)
  })

  it('gives the reason of every skipped test', () => {
    const { lines } = closeRun({ ...green, report: { passed: 0, failed: 0, skipped } })
    expect(lines).toContain('  a.test.ts > scans: clamd is not installed')
  })
})
