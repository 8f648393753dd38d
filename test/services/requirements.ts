import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { TestRunner } from 'vitest'
import { whyNoLossyNetwork } from './lossy-network.ts'
import { privateMounts } from './private-mounts.ts'

declare module 'vitest' {
  interface TaskMeta {
    /** Of a test file: what it lacks on this machine. Read by test/reporter.ts. */
    unmetRequirements?: string[]
  }
}

/** A system program that some tests cannot do without. `scripts/bootstrap.sh test` installs them where it can. */
type Program =
  | 'ffmpeg'
  | 'heif'
  | 'pdftoppm'
  | 'clamd'
  | 'chromium'
  | 'ceph'
  | 'curl'
  | 'nginx'
  | 'haproxy'
  | 'caddy'
  | 'openssl'
  | 'pgbouncer'

/** A program, leave to mount a small file system in memory, or a network of one's own that loses packets. */
export type Requirement = Program | 'tmpfs' | 'lossy-network'

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
  const reason = whyUnmet(requirement)
  if (reason === undefined) return { met: true }
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

export type ProgramName =
  | 'ffmpeg'
  | 'ffprobe'
  | 'heif-enc'
  | 'heif-dec'
  | 'pdftoppm'
  | 'clamd'
  | 'chromium'
  | 'curl'
  | 'nginx'
  | 'haproxy'
  | 'caddy'
  | 'openssl'
  | 'pgbouncer'
  | 'ceph-mon'
  | 'ceph-osd'
  | 'monmaptool'
  | 'radosgw'
  | 'radosgw-admin'

const programsOf = {
  ffmpeg: ['ffmpeg', 'ffprobe'],
  heif: ['heif-enc', 'heif-dec'],
  pdftoppm: ['pdftoppm'],
  clamd: ['clamd'],
  chromium: ['chromium'],
  curl: ['curl'],
  nginx: ['nginx'],
  haproxy: ['haproxy'],
  caddy: ['caddy'],
  openssl: ['openssl'],
  pgbouncer: ['pgbouncer'],
  ceph: ['ceph-mon', 'ceph-osd', 'monmaptool', 'radosgw', 'radosgw-admin'],
} satisfies Record<Program, ProgramName[]>

/** Of the programs that are not simply called by their name. */
const namesOf: Partial<Record<ProgramName, string[]>> = {
  chromium: ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'],
  'heif-dec': ['heif-dec', 'heif-convert'],
}

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

function whyUnmet(requirement: Requirement): string | undefined {
  if (requirement === 'tmpfs') return whyNoMounts()
  return requirement === 'lossy-network' ? whyNoLossyNetwork() : whyMissing(requirement)
}

function whyMissing(program: Program): string | undefined {
  const missing = programsOf[program].filter((name) => findProgram(name) === undefined)
  return missing.length === 0 ? undefined : `${missing.join(' and ')} not found on this machine`
}

function whyNoMounts(): string | undefined {
  return privateMounts() ? undefined : 'nothing may be mounted on this machine'
}

function findProgram(name: ProgramName): string | undefined {
  const chosenPrograms: Partial<Record<ProgramName, string>> = {
    ffmpeg: process.env.FFMPEG_PATH,
    ffprobe: process.env.FFPROBE_PATH,
  }
  const chosen = chosenPrograms[name]
  if (chosen) return isProgram(chosen) ? chosen : undefined
  const folders = [...(process.env.PATH ?? '').split(delimiter).filter(Boolean), ...foldersBeyondPath]
  const candidates = (namesOf[name] ?? [name]).flatMap((file) => folders.map((folder) => join(folder, file)))
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
