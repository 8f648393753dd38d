import { type ChildProcess, spawn } from 'node:child_process'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { freePort } from '../../server/embedded/free-port.ts'
import { clamdVersion } from '../../server/health/clamd-link.ts'
import { betweenLooks } from '../support/pauses.ts'
import { programPath } from './requirements.ts'

const SIGNATURES = join(import.meta.dirname, '..', '..', 'processing', 'clamav')
const START_MS = 30_000

export type TestClamd = {
  /** For `CLAMD_URL`. */
  url: string
  start(): Promise<void>
  stop(): Promise<void>
}

/**
 * A real clamd with the EICAR database on a loopback port of its own, started and stopped at will.
 * Where clamd is not installed nothing listens, and the suites that need it are skipped.
 */
export async function startClamd(directory: string, options: { isDown?: boolean } = {}): Promise<TestClamd> {
  const port = await freePort()
  let child: ChildProcess | undefined
  const clamd: TestClamd = {
    url: `tcp://127.0.0.1:${port}`,
    async start() {
      await rm(directory, { recursive: true, force: true })
      await mkdir(join(directory, 'tmp'), { recursive: true })
      const configFile = join(directory, 'clamd.conf')
      await writeFile(configFile, configuration(directory, port))
      child = spawn(programPath('clamd'), ['--config-file', configFile], { stdio: 'ignore', detached: true })
      const deadline = performance.now() + START_MS
      const answers = () =>
        clamdVersion({ host: '127.0.0.1', port }, 1_000).then(
          () => true,
          () => false,
        )
      while (!(await answers())) {
        if (performance.now() > deadline) throw new Error('clamd did not start')
        await betweenLooks(50)
      }
    },
    async stop() {
      if (!child || child.exitCode !== null) return
      const exited = new Promise((resolve) => child?.once('exit', resolve))
      child.kill('SIGKILL')
      await exited
      child = undefined
    },
  }
  if (!options.isDown && requiresClamd()) await clamd.start()
  return clamd
}

function requiresClamd(): boolean {
  try {
    programPath('clamd')
    return true
  } catch {
    // The suites that need it say so themselves.
    return false
  }
}

function configuration(directory: string, port: number): string {
  const user = process.getuid?.() === 0 ? ['User root'] : []
  return [
    'Foreground yes',
    `DatabaseDirectory ${SIGNATURES}`,
    `TemporaryDirectory ${join(directory, 'tmp')}`,
    'TCPAddr 127.0.0.1',
    `TCPSocket ${port}`,
    'StreamMaxLength 4000M',
    'MaxScanSize 4000M',
    'MaxFileSize 2000M',
    'AlertExceedsMax yes',
    ...user,
    '',
  ].join('\n')
}
