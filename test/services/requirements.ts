import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { TestRunner } from 'vitest'

declare module 'vitest' {
  interface TaskMeta {
    /** Of a test file: what it lacks on this machine. Read by test/reporter.ts. */
    unmetRequirements?: string[]
  }
}

/** A system program that some tests cannot do without. `scripts/bootstrap.sh test` installs them where it can. */
export type Requirement = 'ffmpeg' | 'clamd' | 'chromium'

export type Met = { met: true } | { met: false; reason: string }

/**
 * Whether this machine has what a suite needs. Call it at the top of the test file:
 *
 *     const clamd = requires('clamd')
 *     describe.skipIf(!clamd.met)('scanning', () => { … })
 *
 * An unmet requirement is remembered on the file, so that `npm test` can name it beside the skipped tests.
 */
export function requires(requirement: Requirement): Met {
  const missing = missingPrograms(requirement)
  if (missing.length === 0) return { met: true }
  const reason = `${missing.join(' and ')} not found on this machine`
  recordOnTestFile(reason)
  return { met: false, reason }
}

/**
 * Absolute paths of the programs behind a requirement.
 * @throws Error if one is missing; a suite that was not skipped has them.
 */
export function programPath(name: ProgramName): string {
  const path = findProgram(name)
  if (path === undefined) throw new Error(`${name} not found on this machine`)
  return path
}

export type ProgramName = 'ffmpeg' | 'ffprobe' | 'clamd' | 'chromium'

const programsOf = {
  ffmpeg: ['ffmpeg', 'ffprobe'],
  clamd: ['clamd'],
  chromium: ['chromium'],
} satisfies Record<Requirement, ProgramName[]>

const namesOf = {
  ffmpeg: ['ffmpeg'],
  ffprobe: ['ffprobe'],
  clamd: ['clamd'],
  chromium: ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'],
} satisfies Record<ProgramName, string[]>

// Debian keeps clamd in /usr/sbin and Homebrew in its own sbin, which need not be on a user's PATH.
const foldersBeyondPath = [
  '/usr/sbin',
  '/sbin',
  '/usr/local/sbin',
  '/usr/local/bin',
  '/opt/homebrew/sbin',
  '/opt/homebrew/bin',
]

const browsersOfMacOs = [
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
]

function missingPrograms(requirement: Requirement): ProgramName[] {
  return programsOf[requirement].filter((name) => findProgram(name) === undefined)
}

function findProgram(name: ProgramName): string | undefined {
  const chosen = {
    ffmpeg: process.env.FFMPEG_PATH,
    ffprobe: process.env.FFPROBE_PATH,
    clamd: '',
    chromium: '',
  }[name]
  if (chosen) return isProgram(chosen) ? chosen : undefined
  const folders = [...(process.env.PATH ?? '').split(delimiter).filter(Boolean), ...foldersBeyondPath]
  const candidates = namesOf[name].flatMap((file) => folders.map((folder) => join(folder, file)))
  return [...candidates, ...(name === 'chromium' ? browsersOfMacOs : [])].find(isProgram)
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    // Absent or not ours to run: either way not a program to use.
    return false
  }
}

function recordOnTestFile(reason: string): void {
  const meta = currentTestFileMeta()
  if (meta === undefined || meta.unmetRequirements?.includes(reason)) return
  meta.unmetRequirements = [...(meta.unmetRequirements ?? []), reason]
}

function currentTestFileMeta() {
  try {
    return TestRunner.getCurrentSuite().file?.meta
  } catch {
    // Not inside a test file: the global set-up asks as well, and has no tests to skip.
    return undefined
  }
}
